"""From prompt to pictures: classifier-free guidance with any of five schedulers, a step at a time."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Generator, Tensor

from trainer.diffusion.latents import decode
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser
from trainer.steps import Steps, run_to_end

BATCH = 4  # pictures in one forward pass, where nobody has measured what is quickest; each takes two rows of it
VARIATION = 0.4  # share of fresh noise in a variation; at 1 nothing is left of the picture it varies


def scheduler_for(base: BaseModel, name: str, steps: int, size: tuple[int, int] | None = None) -> Any:
    """Build the scheduler `name` on the base model's noise schedule, set to `steps`; raises UserError if it cannot."""
    _, height, width = base.latent_shape(size)
    return base.process.sampler(name, steps, height * width, base.device)


class Denoising:
    """Pictures on their way from noise to latents; each `step` is one denoising step of all of them.

    The prompt is one for all pictures, or one for each; `size` is width and height in pixels, None the model's own.
    Each forward pass holds the unconditional rows and the conditional rows (Ho & Salimans 2022, arXiv
    2207.12598, eq. 6). All chance of a picture comes from its own seed, and from `vary_seed` if it is to be
    near that one's picture.
    """

    @torch.no_grad()
    def __init__(
        self,
        base: BaseModel,
        denoiser: Denoiser,
        prompt: str | Sequence[str],
        seeds: list[int],
        *,
        steps: int,
        guidance: float,
        negative: str = "",
        scheduler: str = "dpm++2m",
        size: tuple[int, int] | None = None,
        vary_seed: int | None = None,
    ) -> None:
        began_s = time.monotonic()
        self.base, self.denoiser, self.guidance = base, denoiser, guidance
        shape = (1, *base.latent_shape(size))
        generators = [Generator("cpu").manual_seed(seed) for seed in seeds]
        noise = torch.cat([torch.randn(shape, generator=g) for g in generators])
        if vary_seed is not None:
            near = torch.randn(shape, generator=Generator("cpu").manual_seed(vary_seed))
            noise = (1 - VARIATION**2) ** 0.5 * near + VARIATION * noise  # variance stays 1
        self.text = base.guides(denoiser, negative, *([prompt] if isinstance(prompt, str) else prompt))
        self.scheduler = scheduler_for(base, scheduler, steps, size)
        self.chance = {"generator": generators} if scheduler == "euler-a" else {}
        self.latents: Tensor = noise.to(base.device) * self.scheduler.init_noise_sigma
        self.taken = 0
        self.took_s = time.monotonic() - began_s  # without what ran between its steps

    @property
    def done(self) -> bool:
        """Whether `latents`, scaled, n × c × h × w, are those of the pictures."""
        return self.taken == len(self.scheduler.timesteps)

    @torch.no_grad()
    def step(self) -> None:
        """Take one denoising step."""
        began_s = time.monotonic()
        t, latents = self.scheduler.timesteps[self.taken], self.latents
        rows = torch.cat([latents, latents]) if self.base.is_guided else latents
        predicted = self.denoiser(self.scheduler.scale_model_input(rows, t), t, self.text)
        if self.base.is_guided:
            without, with_text = predicted.chunk(2)
            predicted = without + self.guidance * (with_text - without)
        self.latents = self.scheduler.step(predicted, t, latents, **self.chance).prev_sample
        self.taken += 1
        self.took_s += time.monotonic() - began_s


def sample_latents(
    base: BaseModel, denoiser: Denoiser, prompt: str | Sequence[str], seeds: list[int], **how: Any
) -> Tensor:
    """Scaled latents of one picture per seed, n × c × h × w; `how` as `Denoising`."""
    denoising = Denoising(base, denoiser, prompt, seeds, **how)
    while not denoising.done:
        denoising.step()
    return denoising.latents


class Batches(Protocol):
    """Decides how many pictures are drawn together."""

    def next(self, left: int, side_px: int) -> int:
        """How many of those that are left to draw next."""

    def measured(self, count: int, side_px: int, seconds: float) -> None:
        """Hear how long so many took."""


class _Always:
    """Batches of one size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def next(self, left: int, side_px: int) -> int:
        return min(left, self.size)

    def measured(self, count: int, side_px: int, seconds: float) -> None:
        pass


def draw_steps(
    base: BaseModel,
    denoiser: Denoiser,
    prompt: str | Sequence[str],
    seeds: list[int],
    together: int | Batches = BATCH,
    tiled: bool = False,
    **how: Any,
) -> Steps[list[Image.Image]]:
    """Draw one picture per seed, so many `together`, by a prompt for all or one for each; `how` as `Denoising`.

    Yields denoising steps done, of as many as batches of the usual size would take.
    """
    batches = _Always(together) if isinstance(together, int) else together
    usual = together if isinstance(together, int) else BATCH
    side_px = math.isqrt(math.prod(how.get("size") or (base.image_px, base.image_px)))
    of, whole = -(-len(seeds) // usual) * how["steps"], len(seeds) * how["steps"]
    images: list[Image.Image] = []
    done = 0
    while len(images) < len(seeds):
        first = len(images)
        group = slice(first, first + batches.next(len(seeds) - first, side_px))
        count = len(seeds[group])
        denoising = Denoising(base, denoiser, prompt if isinstance(prompt, str) else prompt[group], seeds[group], **how)
        while not denoising.done:
            denoising.step()
            done += count
            yield min(max(1, of * done // whole), of), of
        began_s = time.monotonic()
        with base.in_tiles() if tiled else nullcontext():
            images += decode(base, denoising.latents)
        batches.measured(count, side_px, denoising.took_s + time.monotonic() - began_s)
    return images


def draw(*given: Any, **how: Any) -> list[Image.Image]:
    """Draw pictures, as `draw_steps` does, at once."""
    return run_to_end(draw_steps(*given, **how))


def grid(images: list[Image.Image], columns: int = 0) -> Image.Image:
    """Join pictures of one size into a grid, as square as can be unless `columns` says how wide."""
    columns = columns or math.isqrt(len(images) - 1) + 1
    width, height = images[0].size
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * width, i // columns * height))
    return sheet
