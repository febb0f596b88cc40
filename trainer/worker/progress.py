"""Progress of one job as people want to see it: phase, step, time left, loss curve, samples."""

import time

from arq.connections import ArqRedis

from storage.contract.outcomes import Picture
from storage.contract.progress import Phase, Progress
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
        self._last = ProgressReport(job=job, phase="loading")
        self._phase_began: tuple[Phase, float, int] = ("loading", time.monotonic(), 0)

    def heard(self, report: ProgressReport) -> None:
        """Take in a report of the engine."""
        if report.phase != self._phase_began[0]:
            self._phase_began = (report.phase, time.monotonic(), report.step)
        if report.phase == "learning" and self.first_step_s is None:
            self.first_step_s = time.time()
        if report.losses:  # an attempt that begins anew says some again
            self._losses[report.step - len(report.losses) :] = report.losses
        self._validated = report.validated or self._validated
        self._last = report

    def moving(self, phase: Phase) -> OnProgress:
        """A progress callback for transfers, from 0 to 1: the job's progress in that phase, in percent."""
        return lambda share: self.heard(ProgressReport(job=self.job, phase=phase, step=round(100 * share), of=100))

    def now(self) -> Progress:
        """Where the job is."""
        return Progress(
            job=self.job,
            phase=self._last.phase,
            step=self._last.step,
            of=self._last.of,
            losses=downsampled(self._losses),
            validated=self._validated,
            left_s=self._left_s(),
            samples=self.samples,
        )

    async def write(self) -> int:
        """Publish it; return how often others have announced that the job has changed."""
        return await write_progress(self.redis, self.now())

    def _left_s(self) -> float | None:
        _, began_s, first = self._phase_began
        done = self._last.step - first
        # The first steps are slower than the rest: they compile, or warm caches up.
        if done < 3 or not self._last.of:
            return None
        return round((time.monotonic() - began_s) / done * (self._last.of - self._last.step), 1)


def downsampled(losses: list[float]) -> tuple[float, ...]:
    """Reduce a loss curve to at most 60 points, each the mean of its stretch: single losses are mostly noise."""
    stretch = max(1, -(-len(losses) // CURVE_POINTS))
    parts = [losses[i : i + stretch] for i in range(0, len(losses), stretch)]
    return tuple(round(sum(part) / len(part), 5) for part in parts)
