"""How long the jobs of killed workers wait for another one."""

import asyncio
import time
from dataclasses import dataclass, field

from storage.contract.jobs import job_key
from storage.errors import DarkroomError
from storage.kinds.stored import read_job
from tests.chaos.scene import Scene
from tests.chaos.worker import Worker

LOOK_S = 0.05


@dataclass
class Pickup:
    """One job whose worker was killed."""

    job: str
    killed_s: float
    step: int  # of a training, when its worker was killed
    waited_s: float | None = None  # until another worker reported on it
    back_s: float | None = None  # until a training was as far again
    disturbed: set[str] = field(default_factory=set)  # what else went wrong meanwhile
    without_worker_s: float = 0.0  # of it no worker was free


class Pickups:
    """Watches workers, and the jobs of those that are killed."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.all: list[Pickup] = []
        self._kinds: dict[str, str] = {}

    def times_s(self) -> list[float]:
        """All waits, sorted."""
        return sorted(pickup.waited_s for pickup in self.all if pickup.waited_s is not None)

    def alone_s(self) -> list[float]:
        """Waits for a worker that was free, with nothing else wrong; sorted."""
        alone = [pickup for pickup in self.all if pickup.waited_s is not None and not pickup.disturbed]
        return sorted((pickup.waited_s or 0) - pickup.without_worker_s for pickup in alone)

    def resuming_s(self) -> list[float]:
        """From the pickup of a training until it was as far again; sorted."""
        return sorted(pickup.back_s - (pickup.waited_s or 0) for pickup in self.all if pickup.back_s is not None)

    async def watch(self) -> None:
        """Look at what workers report on, and for workers that have just been killed."""
        working: dict[str, tuple[int, set[str]]] = {}
        while True:
            began_s = time.monotonic()
            for worker in self.scene.workers:
                pid, jobs = working.get(worker.name, (0, set()))
                if worker.process and not worker.alive and worker.process.returncode == -9 and pid:
                    self.all += [Pickup(job, began_s, worker.relay.steps.pop(job, 0)) for job in sorted(jobs)]
                working[worker.name] = (worker.process.pid, worker.working_on) if worker.alive else (0, set())
                for job in worker.working_on:
                    await self._learn_kind(job)
            await asyncio.sleep(LOOK_S)
            for pickup in self.all:
                if pickup.waited_s is None:
                    self._follow(pickup, time.monotonic() - began_s)
                elif pickup.step and pickup.back_s is None:
                    self._follow_on(pickup)

    def _follow(self, pickup: Pickup, step_s: float) -> None:
        reports = [w.relay.reports.get(pickup.job, 0.0) for w in self.scene.workers if w.alive]
        if (newest_s := max(reports, default=0.0)) > pickup.killed_s:
            pickup.waited_s = newest_s - pickup.killed_s
            return
        pickup.disturbed |= set(self.scene.under_way)
        if not any(self._is_free(worker, self._kinds.get(pickup.job, "")) for worker in self.scene.workers):
            pickup.without_worker_s += step_s

    def _follow_on(self, pickup: Pickup) -> None:
        for relay in (worker.relay for worker in self.scene.workers):
            reported_s = relay.reports.get(pickup.job, 0.0)
            if reported_s > pickup.killed_s + (pickup.waited_s or 0) and relay.steps.get(pickup.job, 0) >= pickup.step:
                pickup.back_s = reported_s - pickup.killed_s

    def _is_free(self, worker: Worker, kind: str) -> bool:
        return worker.ready and not any(self._kinds.get(job) == kind for job in worker.working_on)

    async def _learn_kind(self, job: str) -> None:
        if job not in self._kinds:
            try:
                self._kinds[job] = read_job((await self.scene.store.get(job_key(job))).data).kind
            except DarkroomError:
                self._kinds[job] = ""


def percentile(values: list[float], share: float) -> float | None:
    """The value below which that share of the sorted values lies, to a tenth."""
    return round(values[min(len(values) - 1, int(len(values) * share))], 1) if values else None
