"""How the engine has a subject learned: class images, steps, samples, checkpoints, weights."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from storage.errors import SetupError, UserError
from storage.recipe import Recipe
from storage.settings import load_settings
from storage.sizes import size_of_aspect
from trainer import classes, generate
from trainer.capacity import memory
from trainer.capacity.machine import must_shard
from trainer.dreambooth import Learned, Step, Training, learn
from trainer.finite import NotFinite
from trainer.host import Cancelled, Host, Paused
from trainer.judging.eyes import Eye
from trainer.judging.report_card import Examiner
from trainer.lessons.candidates import Candidates
from trainer.lessons.divergence import Diverged, LossCheck
from trainer.lessons.finishing import finished
from trainer.lessons.lesson import Lesson
from trainer.lessons.losses_told import LossesTold, late_on
from trainer.lessons.pupils import digest, panel_of, pupils_of
from trainer.lessons.together import ENOUGH, GO_ON, STOP, Together
from trainer.lessons.tracking import Trackers, Watch, of
from trainer.naming import CLASS_BATCH, instance_prompt, sample_name
from trainer.seam import Report, Result, TrainTask
from trainer.training.checkpoint import Checkpointer, read
from trainer.training.material import Subject
from trainer.training.sharding import Shards

log = logging.getLogger(__name__)

SAMPLE_SEED = 7


class Teaching:
    """Teaches, alone or with the other engines of this worker, which take every step along with the leader."""

    def __init__(
        self, host: Host, together: Together, eye: Eye | None = None, trackers: Trackers | None = None
    ) -> None:
        self.host, self.base, self.together, self.eye = host, host.base, together, eye
        self.trackers, self.watch = trackers or Trackers(), Watch()

    def teach(self, task: TrainTask) -> Result:
        """Learn a subject; write weights and sample pictures into the task's folder."""
        try:
            return self._teach(self._lesson(self._divided(task)))
        finally:
            self.watch.finish()

    def _teach(self, lesson: Lesson) -> Result:
        task = lesson.task
        for pupil in lesson.pupils:
            if lesson.recipe.prior_weight and not classes.is_usable(pupil.class_set):
                at_once, told = 1 if task.gentle else CLASS_BATCH, self._report_class_images(task.job)
                classes.draw_class_set(self.base, pupil.subject.noun, lesson.recipe, pupil.class_set, told, at_once)
        begun = self._begun(lesson)
        if begun:
            losses = tuple(begun["losses"][:, 0].tolist())
            self.host.say(lesson.report(len(losses), losses=losses))
            lesson.candidates.load(begun)
        self.watch = self.trackers.watch(task, lesson.recipe, len(begun["losses"]) if begun else 0)
        self.together.tell(task.model_dump_json().encode())
        learned = self._learn(lesson, lambda step: self._lead(lesson, step), begun)
        self.host.say(Report(job=task.job, phase="saving"))
        result = finished(self.host, lesson, learned, lambda: self._attend(lesson))
        self.watch.ended(result)
        return result

    def follow(self) -> None:
        """Take part in the leader's next training, when there is one."""

        def heed(step: Step) -> bool:
            while (told := self.together.hear()) not in (GO_ON, ENOUGH):
                if told == STOP:
                    raise Cancelled
                step.training.join(told)
            return told == ENOUGH

        lesson = self._lesson(TrainTask.model_validate_json(self.together.hear()))
        try:
            self._learn(lesson, heed, self._begun(lesson))
        except (Cancelled, UserError):
            memory.free()

    def _divided(self, task: TrainTask) -> TrainTask:
        """The task, with what the engines need to agree on before they begin."""
        recipe, how = Recipe.model_validate(task.recipe), load_settings().sharding
        shards = must_shard(how, recipe, self.base, self.together.size, task.gentle)
        return task.model_copy(update={"shards": shards})

    def _lesson(self, task: TrainTask) -> Lesson:
        recipe = Recipe.model_validate(task.recipe)
        try:
            self.together.check(recipe)
        except SetupError as error:
            raise UserError(str(error)) from None

        def told(step: int, path: Path) -> None:
            self.watch.wait()  # in the thread that writes checkpoints: the training goes on
            self.host.say(lesson.report(step, checkpoint=str(path)))

        examiner = partial(self._examiner, task, recipe)
        pupils = pupils_of(task, self.base.rare_words, examiner)
        of = {"base": self.base.sha256, "recipe": recipe.model_dump_json(), "seed": str(task.seed)}
        of["class set"] = pupils[0].class_set.parent.name  # which hashes all that decides what is in it
        if len(pupils) > 1:
            of["together"] = digest(pupils)
        lesson = Lesson(
            task,
            recipe,
            pupils,
            Checkpointer(Path(task.folder), task.checkpoint_s, of, told),
            Candidates(self.base, recipe, panel_of(pupils)),
            LossesTold(late_on(self.base.device)),
            LossCheck(),
        )
        return lesson

    def _examiner(self, task: TrainTask, recipe: Recipe, subject: Subject) -> Examiner | None:
        """Who measures what is learned, if anybody can."""
        if not self.eye:
            return None
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        return Examiner(self.base, self.eye, subject, 1 if task.gentle else generate.BATCH, **how)

    def _begun(self, lesson: Lesson) -> dict[str, Tensor] | None:
        """The checkpoint to go on from, if there is one that fits."""
        return read(Path(lesson.task.begun), lesson.checkpointer.of) if lesson.task.begun else None

    def _learn(self, lesson: Lesson, on_step: Callable[[Step], bool], begun: dict[str, Tensor] | None) -> Learned:
        """Learn in step with the others; what surprises one of us ends us all."""
        recipe, task = lesson.recipe, lesson.task
        read_set = classes.read_class_set if recipe.prior_weight else lambda _: None
        first, *others = [(pupil.subject, read_set(pupil.class_set)) for pupil in lesson.pupils]
        try:
            return learn(
                self.base,
                *first,
                memory.gentler(recipe) if task.gentle else recipe,
                task.seed,
                on_step,
                begun,
                others,
                Shards(self.together.tell) if task.shards else None,
            )
        except (Cancelled, Paused, UserError):
            raise
        except Exception:
            if self.together.size > 1:
                log.exception("job %s failed in engine %d", task.job, self.together.rank)
                self.together.give_up()
            raise
        finally:
            if task.shards or recipe.compiled == "graphs":
                memory.free()  # their modules and hooks hold each other, and would keep their memory for a while

    def _report_class_images(self, job: str) -> Callable[[int, int], None]:
        def on_step(step: int, of: int) -> None:
            self.host.check(job)
            if self.host.pausing:
                raise Paused
            self.host.serve_pictures()
            self.host.say(Report(job=job, phase="class images", step=step, of=of))

        return on_step

    def _lead(self, lesson: Lesson, step: Step) -> bool:
        """Look up after a step, and tell the others whether there is to be another."""
        try:
            enough = self._look_up(lesson, step)
        except (Diverged, NotFinite) as error:
            enough = self._cut_short(lesson, step, error)
        except (Cancelled, Paused):
            self.together.tell(STOP)
            raise
        self.together.tell(ENOUGH if enough else GO_ON)
        return enough

    def _cut_short(self, lesson: Lesson, step: Step, error: UserError) -> bool:
        """End a training that has diverged with its best candidate; raises Diverged if there is none yet."""
        lost = Diverged(f"What is learned drew no picture any more at step {step.step}")
        divergence = error if isinstance(error, Diverged) else lost
        log.warning("job %s: %s", lesson.task.job, divergence)
        try:
            return lesson.candidates.end_by(divergence)
        except Diverged:
            self.together.tell(STOP)
            raise

    def _look_up(self, lesson: Lesson, step: Step) -> bool:
        """Report, draw and measure what it is time for; tell whether the subject has learned enough."""
        self._attend(lesson)
        recipe, training, checkpointer = lesson.recipe, step.training, lesson.checkpointer
        self._tell(lesson, training, lesson.losses.after(training))
        if lesson.is_waited_for(step.step):
            self._tell(lesson, training, lesson.losses.rest())
            lesson.check.gradients(training)
        self.watch.after(step)
        if lesson.is_validated(step.step):
            validated = training.validate()
            lesson.check.loss(step.step, sum(validated), training)
            self.watch.validated(step.step, *validated)
            self.host.say(lesson.report(step.step, validated=validated))
        if step.step in lesson.sampled:
            for number, pupil in enumerate(lesson.pupils):
                sample = self._sample(lesson, step, number)
                self.watch.picture(of("sample", pupil.subject.identifier, number), sample, step.step)
                self.host.say(lesson.report(step.step, sample=str(sample)))
        enough = lesson.candidates.after(training, lambda *_: self._attend(lesson))
        if step.step in lesson.candidates.wanted:
            self.watch.candidate(lesson.candidates.seen[-1], lesson.candidates.glanced)
        if enough:
            return True  # without a checkpoint: a training that goes on from one would take another step

        def copied() -> dict[str, Tensor]:
            self._tell(lesson, training, lesson.losses.rest())
            self.watch.catch_up()  # an attempt that goes on from here logs what comes after
            return lesson.copied(step)

        if self.host.pausing and step.step < recipe.steps:
            checkpointer.write(step.step, copied)
            checkpointer.finish()
            raise Paused
        checkpointer.after(step.step, copied)
        return False

    def _tell(self, lesson: Lesson, training: Training, losses: Iterable[tuple[int, float]]) -> None:
        """Tell the worker of steps that are done; raises Diverged if their losses are no numbers any more."""
        for step, loss in losses:
            self.host.say(lesson.report(step, losses=(loss,)))
            lesson.check.loss(step, loss, training)

    def _attend(self, lesson: Lesson) -> None:
        """Raise Cancelled if that is wished, and draw the pictures that were asked for meanwhile."""
        self.host.check(lesson.task.job)
        self.host.serve_pictures()

    def _sample(self, lesson: Lesson, step: Step, number: int) -> Path:
        """Draw one of the subjects as it is learned so far."""
        subject = lesson.pupils[number].subject
        prompt = instance_prompt(subject.identifier, subject.noun)
        with step.training.drawing() as denoiser:
            (image,) = generate.draw(
                self.base,
                denoiser,
                prompt,
                [SAMPLE_SEED],
                lambda *_: self.host.check(lesson.task.job),
                size=size_of_aspect(self.base.image_px, lesson.recipe.aspect, self.base.size_step_px),
                **lesson.how,
            )
        path = Path(lesson.task.folder) / f"{sample_name(number, step.step, len(lesson.pupils))}.png"
        image.save(path)
        return path
