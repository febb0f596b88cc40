"""The engine: the process that holds the base model and does the tensor work. `python -m trainer.engine MODEL`.

Between two training steps it serves the pictures that are asked for meanwhile, so nobody waits for a training.
"""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from storage.errors import SetupError, UserError
from storage.settings import load_settings
from trainer import classes, generate, memory
from trainer.checkpoint import Checkpointer, read
from trainer.denoiser import Denoiser
from trainer.dreambooth import Learned, Step, Subject, learn
from trainer.identifier import choose
from trainer.models import BaseModel, load_base
from trainer.naming import instance_prompt
from trainer.recipe import Recipe
from trainer.seam import Cancel, Hello, ImagineTask, Pause, Refusal, Report, Result, Task, TrainTask, read_task
from trainer.weights import load_learned, save_learned

log = logging.getLogger(__name__)

SAMPLE_AT = (0.25, 0.5, 0.75, 1.0)  # shares of the training after which a sample is drawn
SAMPLE_SEED = 7
MISFIT = "The subject was learned on another base model, and does not fit this one. Retrain it to have it here, too."
LOOK_S = 5.0  # between two looks for forgotten weights while there is nothing to do
SHORT = "memory was short, so it was done with less"
TOO_LITTLE = {
    "train": "The machine has too little memory to learn this, even one example at a time. "
    "Whoever runs me may choose the method lora or a smaller base model, or give me a larger GPU.",
    "imagine": "The machine has too little memory for this, even one picture at a time. Please try a smaller size.",
}


class Cancelled(Exception):
    """Somebody asked the running task to stop."""


class Paused(Exception):
    """The worker is about to end, and another will go on with the training."""


class Engine:
    """Runs one task after another on a resident base model."""

    def __init__(self, base: BaseModel, say: Callable[[Hello | Report | Result], None]) -> None:
        self.base, self.say = base, say
        self.waiting: deque[Task] = deque()
        self.cancelled: set[str] = set()
        self.pausing = False
        self.arrived = threading.Semaphore(0)
        self._subject: tuple[str, Denoiser] | None = None  # the weights loaded last, by path

    def listen(self, lines: BinaryIO) -> None:
        """Take tasks and wishes to stop from the worker until it closes the pipe, then end the process."""
        for line in lines:
            task = read_task(line)
            if isinstance(task, Cancel):
                self.cancelled.add(task.job)
            elif isinstance(task, Pause):
                self.pausing = True
            else:
                self.cancelled.discard(task.job)  # that was about an earlier attempt
                self.waiting.append(task)
                self.arrived.release()
        os._exit(0)  # the worker is gone: nobody is left to hear a result

    def serve(self) -> None:
        """Run what comes, for ever."""
        base = self.base
        of = {"folder": str(base.folder), "revision": base.source.revision}
        self.say(Hello(base_sha256=base.sha256, image_px=base.image_px, device=str(base.device), **of))
        while True:
            self.arrived.acquire(timeout=LOOK_S)
            self.drop_forgotten()
            if self.waiting:  # a picture may have been served in the middle of a training
                self.run(self.waiting.popleft())

    def run(self, task: Task) -> None:
        """Run one task to its result, whatever happens; where memory runs out, once more with less."""
        self.say(Report(job=task.job, phase="loading"))
        result = self._result(task)
        if result is None and not task.gentle:
            result = self._result(task.model_copy(update={"gentle": True}))
            result = result and result.model_copy(update={"detail": result.detail or SHORT})
        self.say(result or Result(job=task.job, state="failed", message=TOO_LITTLE[task.do], detail="out of memory"))

    def _result(self, task: Task) -> Result | None:
        """Run one task; None if there was too little memory."""
        try:
            self.check(task.job)
            return self.train(task) if isinstance(task, TrainTask) else self.imagine(task)
        except Cancelled:
            return Result(job=task.job, state="cancelled", message="Cancelled.")
        except Paused:
            return Result(job=task.job, state="paused")
        except UserError as error:
            return Result(job=task.job, state="failed", message=str(error))
        except Exception as error:
            if not memory.ran_out(error):
                log.exception("job %s failed", task.job)
                message = "Something went wrong on our side while working on this."
                return Result(job=task.job, state="failed", message=message, detail=f"{type(error).__name__}: {error}")
            log.warning("job %s ran out of memory%s: %s", task.job, " again" if task.gentle else "", error)
        self._subject = None
        memory.free()  # out here, where the error no longer holds what it happened to
        return None

    def check(self, job: str) -> None:
        """Raise Cancelled if the job is to stop."""
        if job in self.cancelled:
            raise Cancelled

    def serve_pictures(self) -> None:
        """Run the pictures that wait, and leave trainings waiting."""
        for task in [t for t in self.waiting if isinstance(t, ImagineTask)]:
            self.waiting.remove(task)
            self.run(task)
        self.drop_forgotten()

    def drop_forgotten(self) -> None:
        """Let go of weights whose file is gone: the worker removes those of subjects that are forgotten."""
        if self._subject and not Path(self._subject[0]).exists():
            self._subject = None
            torch.cuda.empty_cache()

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────

    def imagine(self, task: ImagineTask) -> Result:
        """Draw the pictures of a task into its folder, and their grid."""

        def on_step(step: int, of: int) -> None:
            self.check(task.job)
            self.say(Report(job=task.job, phase="drawing", step=step, of=of))

        images = generate.draw(
            self.base,
            self.denoiser_of(task.weights),
            task.prompt,
            list(task.seeds),
            on_step,
            together=1 if task.gentle else generate.BATCH,
            steps=task.steps,
            guidance=task.guidance,
            negative=task.negative,
            scheduler=task.scheduler,
            size_px=task.size_px,
            vary_seed=task.vary_seed,
        )
        drawn, files = [], []
        with memory.in_tiles(self.base) if task.gentle else nullcontext():
            for seed, image in zip(task.seeds, images, strict=True):
                path = Path(task.folder) / f"{seed}.png"
                image.save(path, pnginfo=_settings_as_text(task, seed))
                drawn.append(image)
                files.append(str(path))
        grid = Path(task.folder) / "grid.png"
        generate.grid(drawn).save(grid, pnginfo=_settings_as_text(task, task.seeds[0]))
        unread = self.base.unread(task.prompt)
        note = f"The prompt is too long for the model, which did not read its end: “{unread}”." if unread else ""
        return Result(job=task.job, state="done", message=note, files=(*files, str(grid)))

    def denoiser_of(self, weights: str | None) -> Denoiser:
        """The base model's denoiser, or a copy with a subject's weights, which stays loaded until another's."""
        if weights is None:
            return self.base.denoiser
        if self._subject is None or self._subject[0] != weights:
            denoiser = self._subject[1] if self._subject else self.base.denoiser.copy()
            self._subject = None
            try:
                load_learned(Path(weights), denoiser, self.base.denoiser)
            except ValueError as error:
                raise UserError(MISFIT) from error
            self._subject = (weights, denoiser)
        return self._subject[1]

    # ── training ──────────────────────────────────────────────────────────────────────────────────────────────────

    def train(self, task: TrainTask) -> Result:
        """Learn a subject; write weights and sample pictures into the task's folder."""
        recipe = Recipe.model_validate(task.recipe)
        identifier = choose(self.base.tokenizer, task.subject, task.taken)
        class_set = Path(task.class_set)
        if recipe.prior_weight and not class_set.exists():
            together, told = 1 if task.gentle else classes.BATCH, self._report_class_images(task.job)
            classes.draw_class_set(self.base, task.noun, recipe, class_set, told, together)
        checkpointer = self._checkpointer(task, recipe)
        learned: Learned = learn(
            self.base,
            Subject([Path(p) for p in task.photos], task.noun, identifier),
            classes.read_class_set(class_set) if recipe.prior_weight else None,
            memory.gentler(recipe) if task.gentle else recipe,
            task.seed,
            lambda step: self._after_step(task, recipe, identifier, checkpointer, step),
            self._begun(task, checkpointer),
        )
        self.say(Report(job=task.job, phase="saving"))
        weights = Path(task.folder) / "weights.safetensors"
        save_learned(weights, learned.denoiser, self.base.denoiser)
        losses = tuple(learned.losses)
        return Result(job=task.job, state="done", files=(str(weights),), identifier=identifier, losses=losses)

    def _report_class_images(self, job: str) -> Callable[[int, int], None]:
        def on_step(step: int, of: int) -> None:
            self.check(job)
            if self.pausing:
                raise Paused
            self.serve_pictures()
            self.say(Report(job=job, phase="class images", step=step, of=of))

        return on_step

    def _checkpointer(self, task: TrainTask, recipe: Recipe) -> Checkpointer:
        def told(step: int, path: Path) -> None:
            self.say(_learning(task, step, checkpoint=str(path)))

        of = {"base": self.base.sha256, "recipe": recipe.model_dump_json(), "seed": str(task.seed)}
        return Checkpointer(Path(task.folder), task.checkpoint_s, of, told)

    def _begun(self, task: TrainTask, checkpointer: Checkpointer) -> dict[str, Tensor] | None:
        """The checkpoint to go on from, if there is one that fits; says where it goes on."""
        begun = read(Path(task.begun), checkpointer.of) if task.begun else None
        if begun:
            losses = tuple(begun["losses"][:, 0].tolist())
            self.say(_learning(task, len(losses), losses=losses))
        return begun

    def _after_step(
        self, task: TrainTask, recipe: Recipe, identifier: str, checkpointer: Checkpointer, step: Step
    ) -> None:
        self.check(task.job)
        self.serve_pictures()
        self.say(_learning(task, step.step, losses=tuple(step.training.losses[step.step - 1 : step.step, 0].tolist())))
        if step.step in {max(1, round(share * recipe.steps)) for share in SAMPLE_AT}:
            path = self._sample(task, recipe, instance_prompt(identifier, task.noun), step)
            self.say(_learning(task, step.step, sample=str(path)))
        if self.pausing and step.step < recipe.steps:
            checkpointer.write(step)
            checkpointer.finish()
            raise Paused
        checkpointer.after(step)

    def _sample(self, task: TrainTask, recipe: Recipe, prompt: str, step: Step) -> Path:
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        step.training.denoiser.eval()
        (image,) = generate.draw(
            self.base, step.training.denoiser, prompt, [SAMPLE_SEED], lambda *_: self.check(task.job), **how
        )
        step.training.denoiser.train()
        path = Path(task.folder) / f"sample-{step.step:06d}.png"
        image.save(path)
        return path


def _learning(task: TrainTask, step: int, **news: Any) -> Report:
    return Report(job=task.job, phase="learning", step=step, of=int(task.recipe["steps"] or 0), **news)


def _settings_as_text(task: ImagineTask, seed: int) -> PngInfo:
    info = PngInfo()
    info.add_itxt("Software", "Darkroom")
    told = {"steps", "guidance", "negative", "scheduler", "vary_seed"}
    settings = task.model_dump(include=told, exclude_none=True) | {"seed": seed}
    for name, value in {**task.facts, **settings}.items():
        info.add_itxt(name, str(value))
    return info


def main() -> None:
    """Load the base model named on the command line and serve the worker at the other end of the pipes."""
    logging.basicConfig(level=logging.INFO, format="engine %(levelname)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not end up between our lines
    lock = threading.Lock()

    def say(news: Hello | Refusal | Report | Result) -> None:
        with lock:
            out.write(news.model_dump_json().encode() + b"\n")

    try:
        settings = load_settings()
        engine = Engine(load_base(sys.argv[1], settings.home, settings.precision), say)
    except SetupError as error:
        say(Refusal(message=str(error)))
        sys.exit(1)
    threading.Thread(target=engine.listen, args=(sys.stdin.buffer,), daemon=True).start()
    engine.serve()


if __name__ == "__main__":
    main()
