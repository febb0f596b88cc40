"""From prompt to pictures: classifier-free guidance with any of five schedulers, one flat loop."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Generator, Tensor

from trainer.diffusion.latents import decode
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser

BATCH = 4  # pictures in one forward pass, where nobody has measured what is quickest; each takes two rows of it
VARIATION = 0.4  # share of fresh noise in a variation; at 1 nothing is left of the picture it varies
OnStep = Callable[[int, int], None]


def scheduler_for(base: BaseModel, name: str, steps: int, size: tuple[int, int] | None = None) -> Any:
    """Build the scheduler `name` on the base model's noise schedule, set to `steps`; raises UserError if it cannot."""
    _, height, width = base.latent_shape(size)
    return base.process.sampler(name, steps, height * width, base.device)


@torch.no_grad()
def sample_latents(
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
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return scaled latents of one picture per seed, n × c × h × w; `on_step` is called after each denoising step.

    The prompt is one for all pictures, or one for each; `size` is width and height in pixels, None the model's own.
    Each forward pass holds the unconditional rows and the conditional rows (Ho & Salimans 2022, arXiv
    2207.12598, eq. 6). All chance of a picture comes from its own seed, and from `vary_seed` if it is to be
    near that one's picture.
    """
    shape = (1, *base.latent_shape(size))
    generators = [Generator("cpu").manual_seed(seed) for seed in seeds]
    noise = torch.cat([torch.randn(shape, generator=g) for g in generators])
    if vary_seed is not None:
        near = torch.randn(shape, generator=Generator("cpu").manual_seed(vary_seed))
        noise = (1 - VARIATION**2) ** 0.5 * near + VARIATION * noise  # variance stays 1
    text = base.guides(denoiser, negative, *([prompt] if isinstance(prompt, str) else prompt))
    steps_of = scheduler_for(base, scheduler, steps, size)
    chance = {"generator": generators} if scheduler == "euler-a" else {}
    latents: Tensor = noise.to(base.device) * steps_of.init_noise_sigma
    for t in steps_of.timesteps:
        rows = torch.cat([latents, latents]) if base.is_guided else latents
        predicted = denoiser(steps_of.scale_model_input(rows, t), t, text)
        if base.is_guided:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance * (with_text - without)
        latents = steps_of.step(predicted, t, latents, **chance).prev_sample
        on_step()
    return latents


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


def draw(
    base: BaseModel,
    denoiser: Denoiser,
    prompt: str | Sequence[str],
    seeds: list[int],
    on_step: OnStep = lambda step, of: None,
    together: int | Batches = BATCH,
    **how: Any,
) -> Iterator[Image.Image]:
    """Draw one picture per seed, so many `together`, by a prompt for all or one for each; `how` as `sample_latents`.

    `on_step` hears steps done, of as many as batches of the usual size would take.
    """
    batches = _Always(together) if isinstance(together, int) else together
    usual = together if isinstance(together, int) else BATCH
    side_px = math.isqrt(math.prod(how.get("size") or (base.image_px, base.image_px)))
    of, whole = -(-len(seeds) // usual) * how["steps"], len(seeds) * how["steps"]
    first, done = 0, 0
    while first < len(seeds):
        group = slice(first, first + batches.next(len(seeds) - first, side_px))
        count = len(seeds[group])

        def counted(count: int = count) -> None:
            nonlocal done
            done += count
            on_step(min(max(1, of * done // whole), of), of)

        began_s = time.monotonic()
        of_group = prompt if isinstance(prompt, str) else prompt[group]
        images = decode(base, sample_latents(base, denoiser, of_group, seeds[group], on_step=counted, **how))
        batches.measured(count, side_px, time.monotonic() - began_s)
        yield from images
        first = group.stop


def grid(images: list[Image.Image], columns: int = 0) -> Image.Image:
    """Join pictures of one size into a grid, as square as can be unless `columns` says how wide."""
    columns = columns or math.isqrt(len(images) - 1) + 1
    width, height = images[0].size
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * width, i // columns * height))
    return sheet
