"""How a family adds noise to latents and takes it away again: what training and drawing see of it."""

from typing import Any, Protocol

import torch
from torch import Generator, Tensor


class NoiseProcess(Protocol):
    """One convention for all: times run from 0, no noise, to the number of the schedule's steps, nothing but noise.

    Latents are b × c × h × w, times b. All chance comes in from outside.
    """

    @property
    def scheduler(self) -> Any:
        """The model's own schedule, one of diffusers' schedulers."""

    def draw_times(self, latents: Tensor, chance: Generator) -> Tensor:
        """A time for each of the latents, as densely as the family is trained; on the device of `chance`."""

    def spaced_times(self, latents: Tensor) -> Tensor:
        """A time for each of the latents, evenly spaced: the middles of as many equal parts."""

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What becomes of clean latents at times `t`."""

    def target(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the model is to predict of them; raises ValueError for a prediction type that cannot be trained."""

    def clean(self, noisy: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
        """The clean latents that a prediction of the model's means, by noisy ones at times `t`; an estimate."""

    def snr_weights(self, t: Tensor, gamma: float) -> Tensor:
        """Weights of the examples' losses, b: Min-SNR-γ."""

    def sampler(self, name: str, steps: int, latents: int, device: torch.device) -> Any:
        """A scheduler of diffusers, set to so many steps for pictures of so many latents.

        Its `timesteps` are times as above. Raises UserError where it cannot draw with this base model.
        """
