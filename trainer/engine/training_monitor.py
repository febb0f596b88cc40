"""What is done after each step of a training: losses are told, progress is evaluated, checkpoints are written."""

import logging
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from storage.contract.sizes import size_of_aspect
from storage.errors import UserError
from trainer.diffusion import sampling
from trainer.dreambooth.divergence import Diverged
from trainer.dreambooth.prompts import instance_prompt, sample_name
from trainer.dreambooth.train import Step, Training
from trainer.dreambooth.training_log import numbered_name
from trainer.engine.host import Host, Paused
from trainer.engine.training_session import TrainingSession
from trainer.models.finite import NotFinite
from trainer.steps import Steps

log = logging.getLogger(__name__)

SAMPLE_SEED = 7


class TrainingMonitor:
    """Follows one training, and decides whether it goes on."""

    def __init__(self, host: Host, session: TrainingSession) -> None:
        self.host, self.session = host, session

    def after(self, step: Step) -> Steps[bool]:
        """Do what it is time for after a step; return whether the subject has learned enough.

        Raises Diverged if nothing came of the training, Paused if another worker is to go on with it.
        """
        try:
            enough = yield from self._evaluate(step)
        except (Diverged, NotFinite) as error:
            return self._cut_short(step, error)
        if not enough:  # else it ends: a training that goes on from a checkpoint would take another step
            self._checkpoint(step)
        return enough

    def _evaluate(self, step: Step) -> Steps[bool]:
        """Report, draw and measure; return whether the subject has learned enough."""
        session, training = self.session, step.training
        self._report_losses(training, session.losses.after(training))
        if session.is_waited_for(step.step):
            self._report_losses(training, session.losses.rest())
            # Asking the loss scaler waits for the GPU, which these steps do anyway.
            session.check.gradients(training)
        session.log.after(step)
        if session.is_validated(step.step):
            validated = training.validate()
            session.check.loss(step.step, sum(validated), training)
            session.log.validated(step.step, *validated)
            self.host.say(session.report(step.step, validated=validated))
        if step.step in session.sampled:
            for number, trained in enumerate(session.subjects):
                sample = yield from self._sample(step, number)
                session.log.picture(numbered_name("sample", trained.subject.identifier, number), sample, step.step)
                self.host.say(session.report(step.step, sample=str(sample)))
        enough = yield from session.candidates.after(training)
        if step.step in session.candidates.wanted:
            session.log.candidate(session.candidates.seen[-1], session.candidates.glanced)
        return enough

    def _checkpoint(self, step: Step) -> None:
        """Write a checkpoint if it is time for one, or if the worker is about to end, which raises Paused."""
        session = self.session

        def copied() -> dict[str, Tensor]:
            self._report_losses(step.training, session.losses.rest())
            session.log.catch_up()  # an attempt that goes on from here logs what comes after
            return session.copied(step.training)

        # Not after the last step: then finishing takes seconds, and another worker would train it again.
        if self.host.pausing and step.step < session.recipe.steps:
            session.checkpointer.write(step.step, copied)
            session.checkpointer.finish()
            raise Paused
        session.checkpointer.after(step.step, copied)

    def _cut_short(self, step: Step, error: UserError) -> bool:
        """End a training that has diverged with its best candidate; raises Diverged if there is none yet."""
        lost = Diverged(f"What is learned drew no picture any more at step {step.step}")
        divergence = error if isinstance(error, Diverged) else lost
        log.warning("job %s: %s", self.session.task.job, divergence)
        return self.session.candidates.end_by(divergence)

    def _report_losses(self, training: Training, losses: Iterable[tuple[int, float]]) -> None:
        """Tell the worker of steps that are done; raises Diverged if their losses are no numbers any more."""
        for step, loss in losses:
            self.host.say(self.session.report(step, losses=(loss,)))
            self.session.check.loss(step, loss, training)

    def _sample(self, step: Step, number: int) -> Steps[Path]:
        """Draw one of the subjects as it is learned so far."""
        session, base = self.session, self.host.base
        subject = session.subjects[number].subject
        prompt = instance_prompt(subject.identifier, subject.noun)
        size = size_of_aspect(base.image_px, session.recipe.aspect, base.size_step_px)
        with step.training.drawing() as denoiser:
            (image,) = yield from sampling.draw_steps(base, denoiser, prompt, [SAMPLE_SEED], size=size, **session.how)
        path = Path(session.task.folder) / f"{sample_name(number, step.step, len(session.subjects))}.png"
        image.save(path)
        return path
