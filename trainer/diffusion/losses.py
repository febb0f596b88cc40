"""The losses of diffusion training as pure functions of tensors: all chance comes in from outside.

Shapes: latents, noise and predictions are b × c × h × w; timesteps are b. A batch holds its instance examples
first and then as many class examples.
"""

from typing import Any

import torch
from torch import Tensor


def target(scheduler: Any, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the model is to predict: the noise, or the velocity (Salimans & Ho 2022) if the scheduler says so.

    Raises ValueError for another prediction type.
    """
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        velocity: Tensor = scheduler.get_velocity(clean, noise, t)
        return velocity
    raise ValueError(f"prediction type {kind} cannot be trained")


def snr_weights(scheduler: Any, t: Tensor, gamma: float) -> Tensor:
    """Min-SNR-γ (Hang et al. 2023, arXiv 2303.09556): a weight for each example, b.

    A nearly clean latent says little of the picture, but its noise is hard to tell and would rule the gradient.
    """
    alphas = scheduler.alphas_cumprod.to(t.device)[t]
    snr = alphas / (1 - alphas)
    # min(SNR, γ) ÷ SNR for predicted noise, ÷ (SNR + 1) for velocity.
    weights: Tensor = snr.clamp(max=gamma) / (snr + (scheduler.config.prediction_type == "v_prediction"))
    return weights


def dreambooth_loss(
    predicted: Tensor,
    wanted: Tensor,
    instances: int,
    prior_weight: float,
    weights: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, instance loss and prior loss of a batch: eq. 2 of Ruiz et al. 2022 (arXiv 2208.12242).

    The first `instances` examples show the subject, the rest the class; the loss of those that there are none of is 0.
    `weights`, b, are of the examples' errors; `mask`, `instances` × 1 × h × w with a mean of 1 each, of theirs within
    the picture.
    """
    # In float32 whatever the networks compute in: squares of small errors vanish in half precision.
    squares = (predicted.float() - wanted.float()).square()
    if mask is not None:
        squares = torch.cat([squares[:instances] * mask, squares[instances:]])
    # A mean for each example first: weights by time belong to examples, not to pixels.
    errors = squares.mean((1, 2, 3))
    if weights is not None:
        errors = errors * weights
    instance = errors[:instances].mean()
    if len(errors) == instances:
        return instance, instance, instance.new_zeros(())
    prior = errors[instances:].mean()
    if not instances:
        return prior_weight * prior, prior.new_zeros(()), prior
    return instance + prior_weight * prior, instance, prior
