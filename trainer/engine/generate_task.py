"""How the engine draws the pictures of a task, with the base model or with a subject's weights."""

from contextlib import nullcontext
from pathlib import Path

import torch
from PIL.PngImagePlugin import PngInfo

from storage.contract.sizes import size_of_aspect
from storage.errors import UserError
from trainer.diffusion import sampling
from trainer.diffusion.batch_sizes import PictureBatches
from trainer.dreambooth.weights import load_learned
from trainer.engine.host import Host
from trainer.models.denoiser import Denoiser
from trainer.protocol import ImagineTask, ProgressReport, TaskResult

MISFIT = "The subject was learned on another base model, and does not fit this one. Retrain it to have it here, too."


class ImageGenerator:
    """Draws, and keeps the weights of the subject, or the company of subjects, that was drawn last."""

    def __init__(self, host: Host) -> None:
        self.host, self.base, self.batches = host, host.base, PictureBatches(host.base)
        self._subject: tuple[tuple[str, ...], Denoiser] | None = None  # by the paths of all weights in it

    def draw(self, task: ImagineTask) -> TaskResult:
        """Draw the pictures of a task into its folder, and their grid."""

        def on_step(step: int, of: int) -> None:
            self.host.check(task.job)
            self.host.say(ProgressReport(job=task.job, phase="drawing", step=step, of=of))

        images = sampling.draw(
            self.base,
            self.denoiser_of(*filter(None, (task.weights, *task.adapters))),
            task.prompt,
            list(task.seeds),
            on_step,
            together=1 if task.gentle else self.batches,
            steps=task.steps,
            guidance=task.guidance,
            negative=task.negative,
            scheduler=task.scheduler,
            size=task.size or size_of_aspect(task.side_px or self.base.image_px, task.aspect),
            vary_seed=task.vary_seed,
        )
        drawn, files = [], []
        with self.base.in_tiles() if task.gentle else nullcontext():
            for seed, image in zip(task.seeds, images, strict=True):
                path = Path(task.folder) / f"{seed}.png"
                image.save(path, pnginfo=_settings_as_text(task, seed))
                drawn.append(image)
                files.append(str(path))
        grid = Path(task.folder) / "grid.png"
        sampling.grid(drawn).save(grid, pnginfo=_settings_as_text(task, task.seeds[0]))
        read = {"prompt": task.prompt, "negative prompt": task.negative}
        note = " ".join(filter(None, (_too_long(name, self.base.unread(text)) for name, text in read.items())))
        return TaskResult(job=task.job, state="done", message=note, files=(*files, str(grid)))

    def denoiser_of(self, *weights: str) -> Denoiser:
        """The base model's denoiser, or a copy with the weights of subjects, which stays loaded until others'."""
        if not weights:
            return self.base.denoiser
        if self._subject is None or self._subject[0] != weights:
            denoiser = self._subject[1] if self._subject else self.base.denoiser.copy()
            self.let_go()
            try:
                first, *others = map(Path, weights)
                load_learned(first, denoiser, self.base.denoiser, *others)
            except ValueError as error:
                raise UserError(MISFIT) from error
            self._subject = (weights, denoiser)
        return self._subject[1]

    def let_go(self) -> None:
        """Keep no subject's weights."""
        self._subject = None

    def drop_forgotten(self) -> None:
        """Let go of weights whose file is gone: the worker removes those of subjects that are forgotten."""
        if self._subject and not all(Path(path).exists() for path in self._subject[0]):
            self.let_go()
            torch.cuda.empty_cache()


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
