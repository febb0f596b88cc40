"""From prompt to pictures: classifier-free guidance with any of five schedulers, a step at a time."""

import logging
import math
import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol
from weakref import ref

import torch
from PIL import Image
from torch import Generator, Tensor

from trainer.diffusion.latents import decode
from trainer.diffusion.pass_precision import autocast_bfloat16, is_wide
from trainer.diffusion.row_adapters import Drawer, network_of, predict_together
from trainer.models.base import BaseModel
from trainer.models.denoiser import TextEmbeddings, joined
from trainer.steps import Steps, run_to_end

log = logging.getLogger(__name__)

BATCH = 4  # pictures in one forward pass, where nobody has measured what is quickest; each takes two rows of it
VARIATION = 0.4  # share of fresh noise in a variation; at 1 nothing is left of the picture it varies


def scheduler_for(base: BaseModel, name: str, steps: int, size: tuple[int, int] | None = None) -> Any:
    """Build the scheduler `name` on the base model's noise schedule, set to `steps`; raises UserError if it cannot."""
    _, height, width = base.latent_shape(size)
    return base.process.sampler(name, steps, height * width, base.device)


class Denoising:
    """Pictures on their way from noise to latents; each `step` is one denoising step of all of them.

    The prompt is one for all pictures, or one for each; `size` is width and height in pixels, None the model's own.
    `references` are latents of photos that the prompts refer to, in families that take them; with `allow_bfloat16`,
    wide passes on a CPU are computed in bfloat16.
    With guidance, each forward pass holds the unconditional rows and the conditional rows (Ho & Salimans 2022, arXiv
    2207.12598, eq. 6). All chance of a picture comes from its own seed, and from `vary_seed` if it is to be
    near that one's picture.
    """

    @torch.no_grad()
    def __init__(
        self,
        base: BaseModel,
        denoiser: Drawer,
        prompt: str | Sequence[str],
        seeds: list[int],
        *,
        steps: int,
        guidance: float,
        negative: str = "",
        scheduler: str = "dpm++2m",
        size: tuple[int, int] | None = None,
        vary_seed: int | None = None,
        references: Sequence[Tensor] = (),
        allow_bfloat16: bool = False,
    ) -> None:
        self.base, self.denoiser, self.guidance, self.allow_bfloat16 = base, denoiser, guidance, allow_bfloat16
        shape = (1, *base.latent_shape(size))
        generators = [Generator("cpu").manual_seed(seed) for seed in seeds]
        noise = torch.cat([torch.randn(shape, generator=g) for g in generators])
        if vary_seed is not None:
            near = torch.randn(shape, generator=Generator("cpu").manual_seed(vary_seed))
            noise = (1 - VARIATION**2) ** 0.5 * near + VARIATION * noise  # variance stays 1
        self.guided = base.is_guided and guidance != 1  # at a scale of 1 the unconditional rows cancel out
        self.text = base.guides(
            denoiser, negative if self.guided else None, *([prompt] if isinstance(prompt, str) else prompt)
        )
        self.text = self.text.referring_to(references)
        if base.device.type == "cpu":  # a GPU would save a hundredth of its time, at 26 MB for each of SDXL's rows
            self.text = self.text.spread(len(noise) * (1 + self.guided)).keeping()
        self.scheduler = scheduler_for(base, scheduler, steps, size)
        self.chance = {"generator": generators} if scheduler == "euler-a" else {}
        self.latents: Tensor = noise.to(base.device) * self.scheduler.init_noise_sigma
        self.taken = 0
        self.keeps_clean = False  # whether `clean` is to be kept, for a preview
        self._fails_at_clean = False
        self.clean: Tensor | None = None  # as the last step predicted the latents at the end
        self.shared = False  # whether others were in one pass with it
        self.in_bfloat16 = False  # whether any of its passes was computed in bfloat16
        self._stepped = False  # its next step was taken together with others
        self._joined: tuple[list[ref[Denoising]], TextEmbeddings] | None = None  # prompts of a pass it was first in
        self.last_pass: tuple[int, float] | None = None  # that it was first in: pictures, and seconds

    @property
    def done(self) -> bool:
        """Whether `latents`, scaled, n × c × h × w, are those of the pictures."""
        return self.taken == len(self.scheduler.timesteps)

    @property
    def batch_key(self) -> Hashable:
        """What those have in common that can take their steps in one forward pass."""
        text = tuple((part.shape[1:], part.dtype) for part in self.text.tensors())
        return id(network_of(self.denoiser)), self.latents.shape[1:], text

    @torch.no_grad()
    def step(self) -> None:
        """Take one denoising step, unless `step_together` has just taken it."""
        if self._stepped:
            self._stepped = False
            return
        began_s = time.monotonic()
        rows, t = self._rows()
        in_bfloat16 = self.allow_bfloat16 and is_wide(rows)
        with autocast_bfloat16(in_bfloat16):
            predicted = self.denoiser(rows, t, self.text)
        self._advance(predicted, in_bfloat16)
        self._joined, self.last_pass = None, (len(self.latents), time.monotonic() - began_s)

    def _rows(self) -> tuple[Tensor, Tensor]:
        """What goes into the forward pass, and its time."""
        t = self.scheduler.timesteps[self.taken]
        rows = torch.cat([self.latents, self.latents]) if self.guided else self.latents
        return self.scheduler.scale_model_input(rows, t), t

    def _advance(self, predicted: Tensor, in_bfloat16: bool) -> None:
        """Go on by what was predicted of `_rows`."""
        self.in_bfloat16 |= in_bfloat16
        if self.guided:
            without, with_text = predicted.chunk(2)
            predicted = without + self.guidance * (with_text - without)
        t = self.scheduler.timesteps[self.taken]
        if self.keeps_clean and not self._fails_at_clean:
            self.clean = self._predicted_clean(predicted, t)
        self.latents = self.scheduler.step(predicted, t, self.latents, **self.chance).prev_sample
        self.taken += 1

    def _text_with(self, denoisings: Sequence["Denoising"], counts: Sequence[int]) -> TextEmbeddings:
        """The prompts of a pass over so many rows of each, joined once as long as it is over the same."""
        whose = [ref(each) for each in denoisings]  # which hold nobody's weights and latents, its own among them
        if self._joined is None or self._joined[0] != whose:
            text = joined([each.text.spread(count) for each, count in zip(denoisings, counts, strict=True)])
            self._joined = whose, text if self.text.kept is None else text.keeping()
        return self._joined[1]

    def _predicted_clean(self, predicted: Tensor, t: Tensor) -> Tensor | None:
        """The clean latents that this step predicts, for a preview, which is not worth a drawing."""
        try:
            return self.base.process.clean(self.scheduler.scale_model_input(self.latents, t), predicted, t)
        except Exception:
            log.exception("there are no previews of a drawing")
            self._fails_at_clean = True
            return None


@torch.no_grad()
def step_together(denoisings: Sequence[Denoising]) -> None:
    """Take one denoising step of several in one forward pass; all have the same `batch_key`.

    Each row has its own time, prompt and adapters. A row's numbers differ from those it has alone by rounding.
    """
    began_s = time.monotonic()
    rows, times = zip(*(each._rows() for each in denoisings), strict=True)
    counts = [len(some) for some in rows]
    t = torch.cat([time.expand(count) for time, count in zip(times, counts, strict=True)])
    text, joined_rows = denoisings[0]._text_with(denoisings, counts), torch.cat(rows)
    in_bfloat16 = all(each.allow_bfloat16 for each in denoisings) and is_wide(joined_rows)
    with autocast_bfloat16(in_bfloat16):
        predicted = predict_together([each.denoiser for each in denoisings], counts, joined_rows, t, text)
    for each, part in zip(denoisings, torch.split(predicted, counts), strict=True):
        each._advance(part, in_bfloat16)
        each._stepped = each.shared = True
    for each in denoisings[1:]:
        each._joined = None  # prompts of a pass before, in memory that grows with the rows
    denoisings[0].last_pass = sum(len(each.latents) for each in denoisings), time.monotonic() - began_s


def sample_latents(
    base: BaseModel, denoiser: Drawer, prompt: str | Sequence[str], seeds: list[int], **how: Any
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

    def pass_took(self, pictures: int, seconds: float, side_px: int) -> None:
        """Hear how long a denoising step of so many took."""


class _FixedBatches:
    """Batches of one size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def next(self, left: int, side_px: int) -> int:
        return min(left, self.size)

    def pass_took(self, pictures: int, seconds: float, side_px: int) -> None:
        pass


class Drawing:
    """Pictures of one request, one per seed, so many `together`, by a prompt for all or one for each.

    `how` as `Denoising`; `tiled` decodes in tiles, which takes less memory.
    """

    def __init__(
        self,
        base: BaseModel,
        denoiser: Drawer,
        prompt: str | Sequence[str],
        seeds: list[int],
        together: int | Batches = BATCH,
        tiled: bool = False,
        **how: Any,
    ) -> None:
        self.base, self.denoiser, self.prompt, self.seeds = base, denoiser, prompt, seeds
        self.tiled, self.how = tiled, how
        self.batches = _FixedBatches(together) if isinstance(together, int) else together
        self.usual = together if isinstance(together, int) else BATCH
        self.side_px = _side_px(base, how.get("size"), how.get("references", ()))
        self.denoising: Denoising | None = None  # the batch under way
        self.images: list[Image.Image] = []  # that are done, in the order of their seeds
        self.shared = False  # whether others were in one pass with it, so that its bits depend on them
        self.in_bfloat16: list[bool] = []  # of each of the images, whether a pass of it was computed in bfloat16

    def steps(self) -> Steps[list[Image.Image]]:
        """Yields denoising steps done, of as many as batches of the usual size would take."""
        count, steps = len(self.seeds), self.how["steps"]
        of, done = -(-count // self.usual) * steps, 0
        while len(self.images) < count:
            denoising = self.denoising = self._begin(len(self.images))
            while not denoising.done:
                denoising.step()
                if denoising.last_pass:
                    self.batches.pass_took(*denoising.last_pass, self.side_px)
                    denoising.last_pass = None
                done += len(denoising.latents)
                yield min(max(1, of * done // (count * steps)), of), of
            self.denoising = None
            self.images += self._finish(denoising)
        return self.images

    def _begin(self, first: int) -> Denoising:
        """The next batch."""
        group = slice(first, first + self.batches.next(len(self.seeds) - first, self.side_px))
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[group]
        return Denoising(self.base, self.denoiser, prompt, self.seeds[group], **self.how)

    def _finish(self, denoising: Denoising) -> list[Image.Image]:
        """The pictures of a batch."""
        self.shared |= denoising.shared
        self.in_bfloat16 += [denoising.in_bfloat16] * len(denoising.latents)
        with self.base.in_tiles() if self.tiled else nullcontext():
            return decode(self.base, denoising.latents)


def _side_px(base: BaseModel, size: tuple[int, int] | None, references: Sequence[Tensor]) -> int:
    """Side of a square of as many pixels as a picture has with what it refers to: by that it takes time and memory."""
    latents = sum(photo[0, 0].numel() for photo in references)
    return math.isqrt(math.prod(size or (base.image_px, base.image_px)) + latents * base.latent_px**2)


def draw_steps(*given: Any, **how: Any) -> Steps[list[Image.Image]]:
    """Draw pictures in steps, as `Drawing` does."""
    return Drawing(*given, **how).steps()


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
