"""Waits until a deployment is at rest, and tells jobs that are slow from those that are lost."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key
from storage.errors import DarkroomError
from storage.kinds import KINDS
from storage.kinds.stored import stored_job
from storage.lifecycle.job_index import JobIndex
from storage.queue import broker
from storage.queue.job_progress import read_progress
from tests.chaos.scene import Scene

STILL_S = 300.0  # without anything new of a job, or of another that it may wait for, it is lost
LONGEST_S = 1500.0
LOOK_S = 0.5


class Movement:
    """When something new was last seen of each job that is open: a phase, or a step further than ever before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.kinds: dict[str, str] = {}
        self._seen: dict[str, set[tuple[str, int]]] = {}
        self._moved_s: dict[str, float] = {}
        self._begun_s = clock()

    def saw(self, job: str, phase: str, step: int) -> None:
        """Note where a job is: to be where it was already, after another attempt began anew, is no progress."""
        seen = self._seen.setdefault(job, set())
        if (phase, step) not in seen:
            seen.add((phase, step))
            self._moved_s[job] = self._clock()

    def is_still(self, job: str) -> bool:
        """Whether nothing has become of a job for long, nor of any other that it may wait for."""
        kind = self.kinds.get(job, "")
        same = [at_s for other, at_s in self._moved_s.items() if not kind or self.kinds.get(other, kind) == kind]
        return self._clock() - max(same, default=self._begun_s) > STILL_S


async def open_jobs(scene: Scene) -> list[str]:
    """All jobs that have no outcome, or that still count as open."""
    names = set(await scene.store.names("jobs/"))
    jobs = {name.split("/")[1] for name in names if name.endswith("/job.json")}
    open_ = await JobIndex(scene.store).open_jobs()
    return sorted(job for job in jobs if outcome_key(job) not in names or job in open_)


async def quiet(scene: Scene) -> tuple[list[str], list[str]]:
    """Wait until every job has ended and the chat is at rest; return those that are lost, and those that are slow."""
    movement, began_s = Movement(), time.monotonic()
    while left := [*await open_jobs(scene), *await _waiting(scene)]:
        for job in left:
            await _look(scene, movement, job)
        still = [job for job in left if movement.is_still(job)]
        if len(still) == len(left) or time.monotonic() - began_s > LONGEST_S:
            return still, [job for job in left if job not in still]
        await asyncio.sleep(LOOK_S)
    return [], []


async def _waiting(scene: Scene) -> list[str]:
    """What is queued although it has ended, and what the chat has not answered."""
    queued = sum([await scene.redis.zcard(name) for name in map(broker.queue_name, KINDS)])
    return ["queue"] * bool(queued) + ["chat"] * (not scene.chat.at_rest)


async def _look(scene: Scene, movement: Movement, job: str) -> None:
    with suppress(DarkroomError, RedisError, OSError):
        if job not in movement.kinds and await scene.store.exists(job_key(job)):
            movement.kinds[job] = (await stored_job(scene.store, job)).kind
        if progress := await read_progress(scene.redis, job):
            movement.saw(job, progress.phase, progress.step)
