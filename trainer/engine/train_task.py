"""How the engine has a subject learned: class images, steps, samples, checkpoints, weights."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from storage.contract.recipe import Recipe
from storage.contract.sizes import size_of_aspect
from storage.errors import SetupError, UserError
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from trainer.diffusion import sampling
from trainer.dreambooth import class_images
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.checkpoint import Checkpointer, read
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.divergence import Diverged, LossCheck
from trainer.dreambooth.fsdp import Shards
from trainer.dreambooth.loss_readback import LossReadback, readback_delay
from trainer.dreambooth.prompts import CLASS_BATCH, instance_prompt, sample_name
from trainer.dreambooth.run import TrainingRun
from trainer.dreambooth.subjects import digest, evaluator_of, training_subjects
from trainer.dreambooth.train import Step, Training, TrainingResult, learn
from trainer.dreambooth.training_log import Trackers, TrainingLog, numbered_name
from trainer.engine.distributed import ENOUGH, GO_ON, STOP, EngineGroup
from trainer.engine.host import Cancelled, Host, Paused
from trainer.engine.train_result import finish_training
from trainer.memory import oom
from trainer.memory.device import must_shard
from trainer.metrics.embedders import Embedder
from trainer.metrics.report_card import SubjectEvaluator
from trainer.models.finite import NotFinite
from trainer.protocol import ProgressReport, TrainResult, TrainTask

log = logging.getLogger(__name__)

SAMPLE_SEED = 7


class TrainRunner:
    """Teaches, alone or with the other engines of this worker, which take every step along with the leader."""

    def __init__(
        self, host: Host, together: EngineGroup, embedder: Embedder | None = None, trackers: Trackers | None = None
    ) -> None:
        self.host, self.base, self.together, self.embedder = host, host.base, together, embedder
        self.trackers, self.watch = trackers or Trackers(), TrainingLog()

    def run(self, task: TrainTask) -> TrainResult:
        """Learn a subject; write weights and sample pictures into the task's folder."""
        try:
            return self._train(self._training_run(self._divided(task)))
        finally:
            self.watch.finish()

    def _train(self, run: TrainingRun) -> TrainResult:
        task = run.task
        for trained in run.subjects:
            if run.recipe.prior_weight and not class_images.is_usable(trained.class_set):
                at_once, on_progress = 1 if task.gentle else CLASS_BATCH, self._report_class_images(task.job)
                class_images.draw_class_set(
                    self.base, trained.subject.noun, run.recipe, trained.class_set, on_progress, at_once
                )
        begun = self._begun(run)
        if begun:
            losses = tuple(begun["losses"][:, 0].tolist())
            self.host.say(run.report(len(losses), losses=losses))
            run.candidates.load(begun)
        self.watch = self.trackers.watch(task, run.recipe, len(begun["losses"]) if begun else 0)
        self.together.tell(task.model_dump_json().encode())
        learned = self._learn(run, lambda step: self._lead(run, step), begun)
        self.host.say(ProgressReport(job=task.job, phase="saving"))
        result = finish_training(self.host, run, learned, lambda: self._check_messages(run))
        self.watch.ended(result)
        return result

    def follow(self) -> None:
        """Take part in the leader's next training, when there is one."""

        def on_step(step: Step) -> bool:
            while (message := self.together.hear()) not in (GO_ON, ENOUGH):
                if message == STOP:
                    raise Cancelled
                step.training.join(message)
            return message == ENOUGH

        run = self._training_run(TrainTask.model_validate_json(self.together.hear()))
        try:
            self._learn(run, on_step, self._begun(run))
        except (Cancelled, UserError):
            oom.free()

    def _divided(self, task: TrainTask) -> TrainTask:
        """The task, with what the engines need to agree on before they begin."""
        recipe, how = Recipe.model_validate(task.recipe), load_settings(TrainerSettings).sharding
        shards = must_shard(how, recipe, self.base, self.together.size, task.gentle)
        return task.model_copy(update={"shards": shards})

    def _training_run(self, task: TrainTask) -> TrainingRun:
        recipe = Recipe.model_validate(task.recipe)
        try:
            self.together.check(recipe)
        except SetupError as error:
            raise UserError(str(error)) from None

        def told(step: int, path: Path) -> None:
            self.watch.wait()  # in the thread that writes checkpoints: the training goes on
            self.host.say(run.report(step, checkpoint=str(path)))

        evaluator = partial(self._evaluator, task, recipe)
        subjects = training_subjects(task, self.base.rare_words, evaluator)
        of = {"base": self.base.sha256, "recipe": recipe.model_dump_json(), "seed": str(task.seed)}
        of["class set"] = subjects[0].class_set.parent.name  # which hashes all that decides what is in it
        if len(subjects) > 1:
            of["together"] = digest(subjects)
        run = TrainingRun(
            task,
            recipe,
            subjects,
            Checkpointer(Path(task.folder), task.checkpoint_s, of, told),
            Candidates(self.base, recipe, evaluator_of(subjects)),
            LossReadback(readback_delay(self.base.device)),
            LossCheck(),
        )
        return run

    def _evaluator(self, task: TrainTask, recipe: Recipe, subject: SubjectSpec) -> SubjectEvaluator | None:
        """Who measures what is learned, if anybody can."""
        if not self.embedder:
            return None
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        return SubjectEvaluator(self.base, self.embedder, subject, 1 if task.gentle else sampling.BATCH, **how)

    def _begun(self, run: TrainingRun) -> dict[str, Tensor] | None:
        """The checkpoint to go on from, if there is one that fits."""
        return read(Path(run.task.begun), run.checkpointer.of) if run.task.begun else None

    def _learn(
        self, run: TrainingRun, on_step: Callable[[Step], bool], begun: dict[str, Tensor] | None
    ) -> TrainingResult:
        """Learn in step with the others; what surprises one of us ends us all."""
        recipe, task = run.recipe, run.task
        read_set = class_images.read_class_set if recipe.prior_weight else lambda _: None
        subjects = [(trained.subject, read_set(trained.class_set)) for trained in run.subjects]
        try:
            return learn(
                self.base,
                subjects,
                oom.with_less_memory(recipe) if task.gentle else recipe,
                task.seed,
                on_step,
                begun,
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
                oom.free()  # their modules and hooks hold each other, and would keep their memory for a while

    def _report_class_images(self, job: str) -> Callable[[int, int], None]:
        def on_step(step: int, of: int) -> None:
            self.host.check(job)
            if self.host.pausing:
                raise Paused
            self.host.serve_pictures()
            self.host.say(ProgressReport(job=job, phase="class images", step=step, of=of))

        return on_step

    def _lead(self, run: TrainingRun, step: Step) -> bool:
        """Look up after a step, and tell the others whether there is to be another."""
        try:
            enough = self._evaluate(run, step)
        except (Diverged, NotFinite) as error:
            enough = self._cut_short(run, step, error)
        except (Cancelled, Paused):
            self.together.tell(STOP)
            raise
        self.together.tell(ENOUGH if enough else GO_ON)
        return enough

    def _cut_short(self, run: TrainingRun, step: Step, error: UserError) -> bool:
        """End a training that has diverged with its best candidate; raises Diverged if there is none yet."""
        lost = Diverged(f"What is learned drew no picture any more at step {step.step}")
        divergence = error if isinstance(error, Diverged) else lost
        log.warning("job %s: %s", run.task.job, divergence)
        try:
            return run.candidates.end_by(divergence)
        except Diverged:
            self.together.tell(STOP)
            raise

    def _evaluate(self, run: TrainingRun, step: Step) -> bool:
        """Report, draw and measure what it is time for; tell whether the subject has learned enough."""
        self._check_messages(run)
        recipe, training, checkpointer = run.recipe, step.training, run.checkpointer
        self._report_losses(run, training, run.losses.after(training))
        if run.is_waited_for(step.step):
            self._report_losses(run, training, run.losses.rest())
            run.check.gradients(training)
        self.watch.after(step)
        if run.is_validated(step.step):
            validated = training.validate()
            run.check.loss(step.step, sum(validated), training)
            self.watch.validated(step.step, *validated)
            self.host.say(run.report(step.step, validated=validated))
        if step.step in run.sampled:
            for number, trained in enumerate(run.subjects):
                sample = self._sample(run, step, number)
                self.watch.picture(numbered_name("sample", trained.subject.identifier, number), sample, step.step)
                self.host.say(run.report(step.step, sample=str(sample)))
        enough = run.candidates.after(training, lambda *_: self._check_messages(run))
        if step.step in run.candidates.wanted:
            self.watch.candidate(run.candidates.seen[-1], run.candidates.glanced)
        if enough:
            return True  # without a checkpoint: a training that goes on from one would take another step

        def copied() -> dict[str, Tensor]:
            self._report_losses(run, training, run.losses.rest())
            self.watch.catch_up()  # an attempt that goes on from here logs what comes after
            return run.copied(step)

        if self.host.pausing and step.step < recipe.steps:
            checkpointer.write(step.step, copied)
            checkpointer.finish()
            raise Paused
        checkpointer.after(step.step, copied)
        return False

    def _report_losses(self, run: TrainingRun, training: Training, losses: Iterable[tuple[int, float]]) -> None:
        """Tell the worker of steps that are done; raises Diverged if their losses are no numbers any more."""
        for step, loss in losses:
            self.host.say(run.report(step, losses=(loss,)))
            run.check.loss(step, loss, training)

    def _check_messages(self, run: TrainingRun) -> None:
        """Raise Cancelled if that is wished, and draw the pictures that were asked for meanwhile."""
        self.host.check(run.task.job)
        self.host.serve_pictures()

    def _sample(self, run: TrainingRun, step: Step, number: int) -> Path:
        """Draw one of the subjects as it is learned so far."""
        subject = run.subjects[number].subject
        prompt = instance_prompt(subject.identifier, subject.noun)
        with step.training.drawing() as denoiser:
            (image,) = sampling.draw(
                self.base,
                denoiser,
                prompt,
                [SAMPLE_SEED],
                lambda *_: self.host.check(run.task.job),
                size=size_of_aspect(self.base.image_px, run.recipe.aspect, self.base.size_step_px),
                **run.how,
            )
        path = Path(run.task.folder) / f"{sample_name(number, step.step, len(run.subjects))}.png"
        image.save(path)
        return path
