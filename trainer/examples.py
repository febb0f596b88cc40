"""What a step of DreamBooth learns from: latents of the photos and of the class set, noise, timesteps.

Everything stays on the device, and chance is drawn there, so that a step never waits for the CPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from trainer.models import BaseModel


@dataclass(frozen=True)
class Batch:
    """Examples of one forward pass: those of the subject first, then as many of the class, if there are any.

    Latents and noise are b × 4 × h × w, timesteps b.
    """

    clean: Tensor
    noise: Tensor
    t: Tensor
    instances: int


class Examples:
    """The photos as moments of their latents, n × 4 × h × w each, and the class set's latents."""

    def __init__(
        self, base: BaseModel, moments: tuple[Tensor, Tensor], class_latents: Tensor | None, noise_offset: float = 0
    ) -> None:
        """`noise_offset` is the spread of a noise that each channel of an example shares, which teaches brightness."""
        self.noise_offset = noise_offset
        self.mean, self.std = (part.to(base.device) for part in moments)
        self.scale = base.vae.config.scaling_factor
        self.class_latents = None if class_latents is None else class_latents.to(base.device)
        self.timesteps = base.scheduler.config.num_train_timesteps
        self.device = base.device

    def draw(self, count: int, passes: int, chance: Generator) -> Iterator[Batch]:
        """Draw `count` examples of the subject and as many of the class, in batches for so many forward passes."""
        which = torch.randint(len(self.mean), (count,), generator=chance, device=self.device)
        mean, std = self.mean[which], self.std[which]
        parts = [(mean + std * self._noise(mean, chance)) * self.scale]
        if self.class_latents is not None:
            others = torch.randint(len(self.class_latents), (count,), generator=chance, device=self.device)
            parts.append(self.class_latents[others])
        noises = [self._noise(part, chance) for part in parts]
        if self.noise_offset:
            noises = [n + self.noise_offset * self._noise(n[:, :, :1, :1], chance) for n in noises]
        times = [torch.randint(self.timesteps, (count,), generator=chance, device=self.device) for _ in parts]
        size = count // passes
        for first in range(0, count, size):
            clean, noise, t = (torch.cat([part[first : first + size] for part in of]) for of in (parts, noises, times))
            yield Batch(clean, noise, t, size)

    @staticmethod
    def _noise(like: Tensor, chance: Generator) -> Tensor:
        return torch.randn(like.shape, generator=chance, device=like.device)
