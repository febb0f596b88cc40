"""Where a job stands while it waits, and when it will be done: as honest as can be without knowing the future."""

import asyncio
import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from arq.connections import ArqRedis

from storage.kinds import KINDS
from storage.queue.job_progress import read_progress
from storage.queue.job_queue import JobQueue
from storage.queue.worker_registry import living_workers

LOOK_S = 0.5  # one look serves all who wait, however many they are
ROUND_S = 5  # nobody knows better than that


@dataclass(frozen=True)
class QueueView:
    """The queue of one kind of job as it was a moment ago."""

    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()  # in turn
    left_s: tuple[float, ...] = ()  # of those that run, where it can be told
    usual_s: float | None = None  # how long a job takes
    workers: tuple[str, ...] = ()  # what each lacks to take a job; empty for most
    at_once: int = 1  # jobs that each runs at a time without slowing the others down
    units: Mapping[str, int] = field(default_factory=dict)  # of work, by job; those that are not in it are of one

    @property
    def obstacle(self) -> str:
        """Why no worker takes any job; empty if one does."""
        if not self.workers:
            return "no worker is running"
        return f"the workers have too little {self.workers[0]}" if all(self.workers) else ""

    def ahead(self, job: str) -> int:
        """How much work comes before a job that waits, in units of its kind, with that of jobs that run."""
        return self.amount(self.running, self.waiting[: self.waiting.index(job)]) if job in self.waiting else 0

    def amount(self, *jobs: Iterable[str]) -> int:
        """How much work jobs are, in units of their kind: pictures, or jobs."""
        return sum(self.units.get(job, 1) for some in jobs for job in some)

    def done_in_s(self, job: str) -> float | None:
        """Time until a job that waits is done, to five seconds; None where it cannot be told."""
        able = self.workers.count("") * self.at_once
        if job not in self.waiting or self.usual_s is None or not able:
            return None
        free_in_s = [*self.left_s, *[self.usual_s / 2] * (len(self.running) - len(self.left_s))]
        free_in_s += [0.0] * (able - len(self.running))
        heapq.heapify(free_in_s)
        for _ in range(self.waiting.index(job)):
            heapq.heapreplace(free_in_s, free_in_s[0] + self.usual_s)
        return ROUND_S * round((free_in_s[0] + self.usual_s) / ROUND_S) or ROUND_S


class QueueViews:
    """Looks at the queues, for everybody in this process who follows a job."""

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis
        self._views: dict[str, tuple[float, QueueView]] = {}
        self._looking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def view(self, kind: str) -> QueueView:
        """The queue of a kind of job, at most half a second old."""
        # Under a lock: whoever comes while somebody looks waits for that look instead of making another.
        async with self._looking[kind]:
            looked_s, view = self._views.get(kind, (-LOOK_S, QueueView()))
            if time.monotonic() - looked_s > LOOK_S:
                view = await self._look(kind)
                self._views[kind] = time.monotonic(), view
            return view

    async def _look(self, kind: str) -> QueueView:
        queue = JobQueue(self.redis, kind)
        running, waiting = await queue.order()
        reports = [await read_progress(self.redis, job) for job in running]
        left_s = tuple(p.left_s for p in reports if p and p.left_s is not None)
        workers = tuple(await living_workers(self.redis, kind))
        # Those that share a GPU share its time: together they take about as long as one after another.
        at_once = KINDS[kind].at_once if kind in KINDS and not KINDS[kind].needs_gpu else 1
        units = await queue.units([*running, *waiting])
        return QueueView(tuple(running), tuple(waiting), left_s, await queue.usual_s(), workers, at_once, units)
