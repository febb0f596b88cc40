"""Progress of one job as people want to see it: phase, step, time left, loss curve, samples."""

import time
from typing import Any

from arq.connections import ArqRedis

from storage.contract.outcomes import Picture
from storage.contract.progress import Progress
from storage.objects.transfers import OnProgress
from storage.queue.job_progress import write_progress
from trainer.protocol import ProgressReport

CURVE_POINTS = 60


class ProgressReporter:
    """Gathers what the engine says of a job and publishes the newest state of it."""

    def __init__(self, redis: ArqRedis, job: str) -> None:
        self.redis, self.job = redis, job
        self.samples: tuple[Picture, ...] = ()
        self.first_step_s: float | None = None  # when this attempt took its first step, by the clock
        self._losses: list[float] = []
        self._validated: tuple[float, float] | None = None
        self._phase, self._step, self._of = "loading", 0, 0
        self._phase_began_s, self._phase_began_at = time.monotonic(), 0
        self._live: dict[str, Any] = {}

    def show(self, phase: str, step: int = 0, of: int = 0, live: dict[str, Any] | None = None) -> None:
        """Say where the job is: a phase, in lower case, and the step in it, if it has any.

        `live` is what the kind shows of its work so far, JSON that only its presenter reads; None leaves what there is.
        It is published twice a second, as it is then.
        """
        if phase != self._phase:
            self._phase_began_s, self._phase_began_at = time.monotonic(), step
        self._phase, self._step, self._of = phase, step, of
        self._live = self._live if live is None else live

    def on_report(self, report: ProgressReport) -> None:
        """Take in a report of the engine."""
        if report.phase == "learning" and self.first_step_s is None:
            self.first_step_s = time.time()
        if report.losses:  # an attempt that begins anew says some again
            # By step and not appended: a resumed attempt reports again what came after its checkpoint.
            self._losses[report.step - len(report.losses) :] = report.losses
        self._validated = report.validated or self._validated
        self.show(report.phase, report.step, report.of)

    def moving(self, phase: str) -> OnProgress:
        """A progress callback for transfers, from 0 to 1: the job's progress in that phase, in percent."""
        return lambda share: self.show(phase, round(100 * share), 100)

    def now(self) -> Progress:
        """Where the job is."""
        return Progress(
            job=self.job,
            phase=self._phase,
            step=self._step,
            of=self._of,
            live=self._live,
            losses=downsampled(self._losses),
            validated=self._validated,
            left_s=self._left_s(),
            samples=self.samples,
        )

    async def write(self) -> int:
        """Publish it; return how often others have announced that the job has changed."""
        return await write_progress(self.redis, self.now())

    def _left_s(self) -> float | None:
        done = self._step - self._phase_began_at
        # The first steps are slower than the rest: they compile, or warm caches up.
        if done < 3 or not self._of:
            return None
        return round((time.monotonic() - self._phase_began_s) / done * (self._of - self._step), 1)


def downsampled(losses: list[float]) -> tuple[float, ...]:
    """Reduce a loss curve to at most 60 points, each the mean of its stretch: single losses are mostly noise."""
    stretch = max(1, -(-len(losses) // CURVE_POINTS))
    parts = [losses[i : i + stretch] for i in range(0, len(losses), stretch)]
    return tuple(round(sum(part) / len(part), 5) for part in parts)
