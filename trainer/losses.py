"""The losses of diffusion training as pure functions of tensors: all chance comes in from outside.

Shapes: latents, noise and predictions are b × 4 × h × w; timesteps are b. A batch holds its instance examples
first and then as many class examples.
"""

from typing import Any

from torch import Tensor
from torch.nn.functional import mse_loss


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


def dreambooth_loss(
    predicted: Tensor, wanted: Tensor, instances: int, prior_weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, instance loss and prior loss of a batch: eq. 2 of Ruiz et al. 2022 (arXiv 2208.12242).

    The first `instances` examples show the subject, the rest the class; with no class examples the prior is 0.
    """
    instance = mse_loss(predicted[:instances].float(), wanted[:instances].float())
    if len(predicted) == instances:
        return instance, instance, instance.new_zeros(())
    prior = mse_loss(predicted[instances:].float(), wanted[instances:].float())
    return instance + prior_weight * prior, instance, prior
