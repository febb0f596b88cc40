"""How the engine has a subject learned: class images, steps, samples, checkpoints, weights."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from storage.errors import SetupError, UserError
from storage.recipe import Recipe
from trainer import classes, generate, memory
from trainer.checkpoint import Checkpointer, read
from trainer.dreambooth import Learned, Step, Subject, learn
from trainer.eyes import Eye
from trainer.host import Cancelled, Host, Paused
from trainer.identifier import choose
from trainer.naming import CLASS_BATCH, instance_prompt
from trainer.report_card import Examined, examine
from trainer.seam import Report, Result, TrainTask
from trainer.together import GO_ON, STOP, Together
from trainer.weights import save_learned

log = logging.getLogger(__name__)

SAMPLE_AT = (0.25, 0.5, 0.75, 1.0)  # shares of the training after which a sample is drawn
SAMPLE_SEED = 7


@dataclass(frozen=True)
class Lesson:
    """One training: what was asked for, and what follows from it."""

    task: TrainTask
    recipe: Recipe
    subject: Subject
    class_set: Path
    checkpointer: Checkpointer

    def report(self, step: int, **news: Any) -> Report:
        """Say that the training is at a step."""
        return Report(job=self.task.job, phase="learning", step=step, of=self.recipe.steps, **news)


class Teaching:
    """Teaches, alone or with the other engines of this worker, which take every step along with the leader."""

    def __init__(self, host: Host, together: Together, eye: Eye | None = None) -> None:
        self.host, self.base, self.together, self.eye = host, host.base, together, eye

    def teach(self, task: TrainTask) -> Result:
        """Learn a subject; write weights and sample pictures into the task's folder."""
        lesson = self._lesson(task)
        if lesson.recipe.prior_weight and not lesson.class_set.exists():
            at_once, told = 1 if task.gentle else CLASS_BATCH, self._report_class_images(task.job)
            classes.draw_class_set(self.base, task.noun, lesson.recipe, lesson.class_set, told, at_once)
        begun = self._begun(lesson)
        if begun:
            losses = tuple(begun["losses"][:, 0].tolist())
            self.host.say(lesson.report(len(losses), losses=losses))
        self.together.tell(task.model_dump_json().encode())
        learned = self._learn(lesson, lambda step: self._lead(lesson, step), begun)
        self.host.say(Report(job=task.job, phase="saving"))
        weights = Path(task.folder) / "weights.safetensors"
        save_learned(weights, learned.denoiser, self.base.denoiser)
        card, pictures = self._examined(lesson, learned)
        return Result(
            job=task.job,
            state="done",
            files=(str(weights), *pictures),
            identifier=lesson.subject.identifier,
            losses=tuple(learned.losses),
            class_set=str(lesson.class_set),
            metrics=card,
        )

    def follow(self) -> None:
        """Take part in the leader's next training, when there is one."""

        def heed(step: Step) -> None:
            if self.together.hear() == STOP:
                raise Cancelled

        lesson = self._lesson(TrainTask.model_validate_json(self.together.hear()))
        try:
            self._learn(lesson, heed, self._begun(lesson))
        except (Cancelled, UserError):
            memory.free()

    def _lesson(self, task: TrainTask) -> Lesson:
        recipe = Recipe.model_validate(task.recipe)
        try:
            self.together.check(recipe)
        except SetupError as error:
            raise UserError(str(error)) from None
        identifier = choose(self.base.tokenizer, task.subject, task.taken)

        def told(step: int, path: Path) -> None:
            self.host.say(lesson.report(step, checkpoint=str(path)))

        class_set = Path(task.class_set)
        if task.gentle and task.class_set_gently and not class_set.exists():
            class_set = Path(task.class_set_gently)
        of = {"base": self.base.sha256, "recipe": recipe.model_dump_json(), "seed": str(task.seed)}
        of["class set"] = class_set.parent.name  # which hashes all that decides what is in it
        lesson = Lesson(
            task,
            recipe,
            Subject([Path(p) for p in task.photos], task.noun, identifier),
            class_set,
            Checkpointer(Path(task.folder), task.checkpoint_s, of, told),
        )
        return lesson

    def _begun(self, lesson: Lesson) -> dict[str, Tensor] | None:
        """The checkpoint to go on from, if there is one that fits."""
        return read(Path(lesson.task.begun), lesson.checkpointer.of) if lesson.task.begun else None

    def _learn(self, lesson: Lesson, on_step: Callable[[Step], None], begun: dict[str, Tensor] | None) -> Learned:
        """Learn in step with the others; what surprises one of us ends us all."""
        recipe, task = lesson.recipe, lesson.task
        try:
            return learn(
                self.base,
                lesson.subject,
                classes.read_class_set(lesson.class_set) if recipe.prior_weight else None,
                memory.gentler(recipe) if task.gentle else recipe,
                task.seed,
                on_step,
                begun,
            )
        except (Cancelled, Paused, UserError):
            raise
        except Exception:
            if self.together.size > 1:
                log.exception("job %s failed in engine %d", task.job, self.together.rank)
                self.together.give_up()
            raise

    def _report_class_images(self, job: str) -> Callable[[int, int], None]:
        def on_step(step: int, of: int) -> None:
            self.host.check(job)
            if self.host.pausing:
                raise Paused
            self.host.serve_pictures()
            self.host.say(Report(job=job, phase="class images", step=step, of=of))

        return on_step

    def _lead(self, lesson: Lesson, step: Step) -> None:
        """Look up after a step, and tell the others whether there is to be another."""
        try:
            self._look_up(lesson, step)
        except (Cancelled, Paused):
            self.together.tell(STOP)
            raise
        self.together.tell(GO_ON)

    def _look_up(self, lesson: Lesson, step: Step) -> None:
        self.host.check(lesson.task.job)
        self.host.serve_pictures()
        loss = step.training.losses[step.step - 1 : step.step, 0]
        self.host.say(lesson.report(step.step, losses=tuple(loss.tolist())))
        if step.step in {max(1, round(share * lesson.recipe.steps)) for share in SAMPLE_AT}:
            self.host.say(lesson.report(step.step, sample=str(self._sample(lesson, step))))
        if self.host.pausing and step.step < lesson.recipe.steps:
            lesson.checkpointer.write(step)
            lesson.checkpointer.finish()
            raise Paused
        lesson.checkpointer.after(step)

    def _examined(self, lesson: Lesson, learned: Learned) -> tuple[dict[str, float], list[str]]:
        """The report card, and the path of its picture; nothing where nobody looks, or there is no time."""
        task, recipe, subject = lesson.task, lesson.recipe, lesson.subject
        if not (self.eye and recipe.report_card) or self.host.pausing:
            return {}, []

        def on_step(done: int, of: int) -> None:
            self.host.check(task.job)
            self.host.serve_pictures()
            self.host.say(Report(job=task.job, phase="sampling", step=done, of=of))

        who = Examined(learned.denoiser, subject.photos, task.noun, subject.identifier)
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        try:
            card = examine(self.base, self.eye, who, on_step, together=1 if task.gentle else generate.BATCH, **how)
        except (Cancelled, Paused):
            raise
        except Exception:  # what was learned is worth more than its card
            log.exception("no report card of job %s", task.job)
            return {}, []
        path = Path(task.folder) / "before-after.png"
        generate.grid([*card.before, *card.after], columns=len(card.before)).save(path)
        return card.measures, [str(path)]

    def _sample(self, lesson: Lesson, step: Step) -> Path:
        """Draw the subject as it is learned so far."""
        task, denoiser = lesson.task, step.training.denoiser.eval()
        how: dict[str, Any] = {"steps": lesson.recipe.sample_steps, "guidance": lesson.recipe.sample_guidance}
        prompt = instance_prompt(lesson.subject.identifier, task.noun)
        (image,) = generate.draw(
            self.base, denoiser, prompt, [SAMPLE_SEED], lambda *_: self.host.check(task.job), **how
        )
        denoiser.train()
        path = Path(task.folder) / f"sample-{step.step:06d}.png"
        image.save(path)
        return path
