"""A drawing as the engine's scheduler runs it: the pictures of one task, by the base model or with subjects."""

import logging
from collections.abc import Hashable, Sequence
from functools import cached_property
from math import inf
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import SafetensorError
from torch import Tensor

from storage.contract.sizes import SIDE_STEP_PX, Size, size_of_aspect
from storage.errors import UserError
from trainer.diffusion import sampling
from trainer.diffusion.batch_sizes import PictureBatches
from trainer.diffusion.images import read_photo
from trainer.diffusion.latents import reference_latents
from trainer.diffusion.row_adapters import AdaptedDenoiser
from trainer.dreambooth.weights import is_lora_file
from trainer.engine.host import Host
from trainer.engine.previews import PreviewWriter
from trainer.engine.run import Run
from trainer.engine.subject_cache import SubjectCache
from trainer.models.references import check_references
from trainer.out_of_memory import free_cached_memory, is_out_of_memory
from trainer.protocol import ImagineTask, ProgressReport, TaskResult
from trainer.steps import Steps, reporting

log = logging.getLogger(__name__)


class SamplingRun(Run):
    """Draws the pictures of a task into its folder, and their grid; a step is a denoising step.

    Requests of one network and size take their steps in one forward pass, each row with its own time, prompt and
    subject; a picture is then the same but for rounding. With `exact` it is drawn alone, bit for bit as ever.
    """

    task: ImagineTask

    def __init__(
        self, task: ImagineTask, host: Host, subjects: SubjectCache, batches: PictureBatches, other: SubjectCache
    ) -> None:
        """`subjects` has the model that draws, `other` that of another quality."""
        super().__init__(task)
        self.host, self.base, self.subjects, self.batches, self.other = host, subjects.base, subjects, batches, other
        subjects.read_ahead(*self._weights)
        self.drawing: sampling.Drawing | None = None
        self.files: list[str] = []  # of pictures that are done
        self.alone = task.exact or task.gentle
        self.previews = PreviewWriter(host, Path(task.folder))

    @property
    def denoising(self) -> sampling.Denoising | None:
        """What has further steps to take, if it has been begun."""
        denoising = self.drawing.denoising if self.drawing and not self.alone else None
        return denoising if denoising and not denoising.done else None

    @property
    def _weights(self) -> tuple[str, ...]:
        return (*filter(None, (self.task.weights, *self.task.adapters)),)

    @cached_property
    def _is_whole(self) -> bool:
        """Whether a subject is more than adapters; a file that cannot be read fails as soon as it is loaded."""
        try:
            return any(not is_lora_file(Path(each)) for each in self._weights)
        except (OSError, SafetensorError):
            return False

    @property
    def needs_room(self) -> bool:
        """Whether it is still to load the weights of a full training."""
        return self.state == "waiting" and self._is_whole

    @property
    def has_room(self) -> bool:
        """Whether they fit beside those of other drawings."""
        return self.subjects.has_room(*self._weights)

    @property
    def batch_key(self) -> Hashable | None:
        """By the network that draws and the shapes of latents and prompts."""
        return self.denoising.batch_key if self.denoising else None

    @property
    def rows(self) -> int:
        """Pictures in its next step."""
        return len(self.denoising.latents) if self.denoising else 1

    @property
    def rows_max(self) -> int:
        """As many as fit, and as are quickest by what was measured."""
        if not self.drawing:
            return 1
        drawer = self.drawing.denoiser
        adapters = drawer.adapters if isinstance(drawer, AdaptedDenoiser) else ()
        # beside those that are resident, which memory that is free does not count
        stacked_bytes = sum(adapter.size_bytes for adapter in adapters)
        return self.batches.most(self.drawing.side_px, stacked_bytes)

    def times_longer(self, rows: int) -> float:
        """By how long passes took before."""
        return self.batches.times_longer(self.rows, rows, self.drawing.side_px) if self.drawing else inf

    def step_with(self, others: Sequence[Run]) -> None:
        """One forward pass for all; where memory does not suffice for that, a pass each, and fewer from then on."""
        runs = [run for run in (self, *others) if isinstance(run, SamplingRun)]
        denoisings = [run.denoising for run in runs if run.denoising]
        if len(denoisings) > 1 and self.drawing:
            pictures = sum(len(each.latents) for each in denoisings)
            try:
                with self.batches.measuring(pictures, self.drawing.side_px):
                    sampling.step_together(denoisings)
            except Exception as error:
                self._part(runs, error)
        super().step_with(others)

    def _part(self, runs: Sequence["SamplingRun"], error: Exception) -> None:
        """After a pass that failed: smaller ones where memory was short, else none that these runs share."""
        if is_out_of_memory(error):
            self.batches.shrink(sum(run.rows for run in runs), self.drawing.side_px if self.drawing else 0)
            free_cached_memory()
            return
        log.error("%d requests could not be drawn in one pass", len(runs), exc_info=error)
        for run in runs:
            run.alone = True

    def steps(self) -> Steps[TaskResult]:
        """Draw, and save what was drawn."""
        task = self.task
        self.host.say(ProgressReport(job=task.job, phase="loading"))
        size, references = self._size(), self._references()
        if self._is_whole:
            self.other.let_go_full()  # memory is counted for one copy of the network
        with self.subjects.loaded(*self._weights) as denoiser:
            self.drawing = sampling.Drawing(
                self.base,
                denoiser,
                task.prompt,
                list(task.seeds),
                together=1 if task.gentle else sampling.BATCH if task.exact else self.batches,
                tiled=task.gentle,
                steps=task.steps,
                guidance=task.guidance,
                negative=task.negative,
                scheduler=task.scheduler,
                size=size,
                vary_seed=task.vary_seed,
                references=references,
                allow_bfloat16=self.host.allow_bfloat16 and not task.exact,
            )
            images = yield from reporting(self.drawing.steps(), self._report)
        return self._saved(images)

    def _size(self) -> Size:
        """Width and height in pixels; raises UserError for a size that the model cannot draw."""
        task, step_px = self.task, max(SIDE_STEP_PX, self.base.drawn_step_px)
        if not task.size:
            return size_of_aspect(task.side_px or self.base.image_px, task.aspect, step_px)
        if any(side % step_px for side in task.size):
            near = Size(*(max(step_px, round(side / step_px) * step_px) for side in task.size))
            raise UserError(
                f"{self.base.family.name} draws pictures whose sides are multiples of {step_px} pixels: "
                f"{near} would do."
            )
        return Size(*task.size)

    def _references(self) -> list[Tensor]:
        """Latents of the photos that are referred to; raises UserError where the model takes none, or not so many."""
        photos = self.task.references
        check_references(self.base.family, len(photos))
        return reference_latents(self.base, [read_photo(Path(photo)) for photo in photos])

    def _report(self, step: int, of: int) -> None:
        preview = self.previews.next(self.drawing) if self.drawing and self.task.job in self.host.watched else None
        made = {"preview": preview, "pictures": self._save_images()}
        self.host.say(ProgressReport(job=self.task.job, phase="drawing", step=step, of=of, **made))

    def _save_images(self) -> tuple[str, ...]:
        """Write those of the pictures that are done into files; return the paths of these."""
        images, first = self.drawing.images if self.drawing else [], len(self.files)
        in_bfloat16 = self.drawing.in_bfloat16 if self.drawing else []
        for seed, image, its in zip(self.task.seeds[first:], images[first:], in_bfloat16[first:], strict=False):
            path = Path(self.task.folder) / f"{seed}.png"
            part = path.with_suffix(".part")
            image.save(part, "PNG", pnginfo=self._settings_as_text(seed, its))
            part.replace(path)  # the file of an attempt before, which had too little memory, may just be uploaded
            self.files.append(str(path))
        return tuple(self.files[first:])

    def _saved(self, images: list[Image.Image]) -> TaskResult:
        task = self.task
        self._save_images()
        grid = Path(task.folder) / "grid.png"
        in_bfloat16 = self.drawing is not None and any(self.drawing.in_bfloat16)
        sampling.grid(images).save(grid, pnginfo=self._settings_as_text(task.seeds[0], in_bfloat16))
        guided = self.base.is_guided and task.guidance != 1
        read = {"prompt": task.prompt, "negative prompt": task.negative if guided else ""}
        note = " ".join(filter(None, (_too_long(name, self.base.unread(text)) for name, text in read.items())))
        return TaskResult(job=task.job, state="done", message=note, files=(*self.files, str(grid)))

    def _settings_as_text(self, seed: int, in_bfloat16: bool) -> PngInfo:
        """What a PNG says of how it was drawn; `batch` and `precision` tell of its last bits."""
        info = PngInfo()
        info.add_itxt("Software", "Darkroom")
        fields = {"steps", "guidance", "negative", "scheduler", "vary_seed"}
        settings = self.task.model_dump(include=fields, exclude_none=True) | {"seed": seed}
        batch = "shared" if self.drawing and self.drawing.shared else "alone"
        precision = "bfloat16" if in_bfloat16 else str(self.base.denoiser.dtype).removeprefix("torch.")
        for name, value in {**self.task.facts, **settings, "batch": batch, "precision": precision}.items():
            info.add_itxt(name, str(value))
        return info


def _too_long(name: str, unread: str) -> str:
    return f"The {name} is too long for the model, which did not read its end: “{unread}”." if unread else ""
