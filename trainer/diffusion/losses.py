"""The loss of DreamBooth as a pure function of tensors: all chance comes in from outside.

Shapes: latents, noise and predictions are b × c × h × w. A batch holds its instance examples first and then as many
class examples.
"""

import torch
from torch import Tensor


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
