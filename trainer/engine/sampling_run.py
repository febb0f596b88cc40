"""A drawing as the engine's scheduler runs it: the pictures of one task, by the base model or with subjects."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from storage.contract.sizes import size_of_aspect
from trainer.diffusion import sampling
from trainer.diffusion.batch_sizes import PictureBatches
from trainer.engine.host import Host
from trainer.engine.run import Run
from trainer.engine.subject_cache import SubjectCache
from trainer.protocol import ImagineTask, ProgressReport, TaskResult
from trainer.steps import Steps, reporting


class SamplingRun(Run):
    """Draws the pictures of a task into its folder, and their grid; a step is a denoising step.

    It has no `batch_key`: pictures of several requests in one pass are no longer the same to the last bit.
    """

    task: ImagineTask

    def __init__(self, task: ImagineTask, host: Host, subjects: SubjectCache, batches: PictureBatches) -> None:
        super().__init__(task)
        self.host, self.base, self.subjects, self.batches = host, host.base, subjects, batches

    def steps(self) -> Steps[TaskResult]:
        """Draw, and save what was drawn."""
        task = self.task
        self.host.say(ProgressReport(job=task.job, phase="loading"))
        with self.subjects.loaded(*filter(None, (task.weights, *task.adapters))) as denoiser:
            drawing = sampling.draw_steps(
                self.base,
                denoiser,
                task.prompt,
                list(task.seeds),
                together=1 if task.gentle else self.batches,
                tiled=task.gentle,
                steps=task.steps,
                guidance=task.guidance,
                negative=task.negative,
                scheduler=task.scheduler,
                size=task.size or size_of_aspect(task.side_px or self.base.image_px, task.aspect),
                vary_seed=task.vary_seed,
            )
            images = yield from reporting(drawing, self._report)
        return self._saved(images)

    def _report(self, step: int, of: int) -> None:
        self.host.say(ProgressReport(job=self.task.job, phase="drawing", step=step, of=of))

    def _saved(self, images: list[Image.Image]) -> TaskResult:
        task, files = self.task, []
        for seed, image in zip(task.seeds, images, strict=True):
            path = Path(task.folder) / f"{seed}.png"
            image.save(path, pnginfo=_settings_as_text(task, seed))
            files.append(str(path))
        grid = Path(task.folder) / "grid.png"
        sampling.grid(images).save(grid, pnginfo=_settings_as_text(task, task.seeds[0]))
        read = {"prompt": task.prompt, "negative prompt": task.negative}
        note = " ".join(filter(None, (_too_long(name, self.base.unread(text)) for name, text in read.items())))
        return TaskResult(job=task.job, state="done", message=note, files=(*files, str(grid)))


def _too_long(name: str, unread: str) -> str:
    return f"The {name} is too long for the model, which did not read its end: “{unread}”." if unread else ""


def _settings_as_text(task: ImagineTask, seed: int) -> PngInfo:
    info = PngInfo()
    info.add_itxt("Software", "Darkroom")
    fields = {"steps", "guidance", "negative", "scheduler", "vary_seed"}
    settings = task.model_dump(include=fields, exclude_none=True) | {"seed": seed}
    for name, value in {**task.facts, **settings}.items():
        info.add_itxt(name, str(value))
    return info
