"""A worker's part done by hand: jobs make the progress and come to the end that a test wants, when it wants."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from bot.app import Darkroom
from storage.contract.jobs import attempt_prefix
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.progress import Phase, Progress
from storage.contract.subjects import Subject
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.kinds.train import TrainJob, TrainOutcome
from storage.queue.job_progress import announce_change, write_progress
from storage.queue.job_queue import JobQueue
from tests.support.photo_files import saved, scene

ACCEPTED_S = 120.0


class Hand:
    """Does the jobs of a deployment."""

    def __init__(self, app: Darkroom) -> None:
        self.app = app

    async def jobs(self, space: str) -> list[TrainJob | ImagineJob]:
        """What was accepted in a space, newest first."""
        return await self.app.dispatch.jobs(space)

    async def job(self, space: str, count: int = 1) -> TrainJob | ImagineJob:
        """Wait until a space has so many jobs; return the newest."""
        async with asyncio.timeout(ACCEPTED_S):
            while len(jobs := await self.jobs(space)) < count:  # noqa: ASYNC110 (a store tells nobody)
                await asyncio.sleep(0.02)
        assert len(jobs) == count, [job.said for job in jobs]
        return jobs[0]

    async def progress(
        self,
        job: str,
        phase: Phase = "learning",
        step: int = 0,
        of: int = 0,
        samples: int = 0,
        losses: tuple[float, ...] = (),
    ) -> None:
        """Say where a job is."""
        pictures = [await self.picture(job, f"sample-{k}") for k in range(samples)]
        said = Progress(job=job, phase=phase, step=step, of=of, left_s=90, samples=tuple(pictures), losses=losses)
        await write_progress(self.app.redis, said)

    async def draw(self, job: ImagineJob, grid: Picture | None = None) -> None:
        """Finish a drawing well; its grid may be there already."""
        pictures = [await self.picture(job.id, str(job.seed + k), job.seed + k) for k in range(job.count)]
        grid = grid or await self.picture(job.id, "grid")
        await self._publish(
            ImagineOutcome(job=job.id, state="done", message=job.prompt, seconds=3, pictures=tuple(pictures), grid=grid)
        )

    async def train(self, job: TrainJob) -> Subject:
        """Finish a training well."""
        samples = tuple([await self.picture(job.id, f"sample-{k}") for k in range(2)])
        ready = {"state": "ready", "identifier": "sks", "samples": samples, "weights_sha256": "0" * 64}
        subject = await self.app.subjects.change(job.subjects[0], lambda s: s.model_copy(update=ready))
        message = f"{subject.name} is ready: write [{subject.name}] in a prompt."
        await self._publish(TrainOutcome(job=job.id, state="done", message=message, seconds=90, pictures=samples))
        return subject

    async def keep(self, space: str, owner: str, count: int) -> None:
        """Have a space know many subjects, pet-1 and on, as if they had been learned one after another."""
        for number in range(1, count + 1):
            pet = Subject(space=space, owner=owner, name=f"pet-{number}", noun="dog", base_model="toyworld")
            sample = await self.picture(pet.id, "sample")
            await self.app.subjects.add(pet.model_copy(update={"state": "ready", "samples": (sample,)}))

    async def fail(self, job: str, message: str = "The training ran out of memory.") -> None:
        """End a job badly."""
        await self._publish(Outcome(job=job, state="failed", message=message))

    async def picture(self, job: str, name: str, seed: int | None = None) -> Picture:
        """A picture that an attempt at a job made."""
        key = f"{attempt_prefix(job, 'a')}{name}.png"
        await self.app.store.put(key, saved(scene(64, 64, seed or 0)))
        return Picture(key=key, width_px=64, height_px=64, seed=seed, caption=f"picture {name} of {job[-4:]}")

    async def _publish(self, outcome: Outcome) -> None:
        await self.app.store.put_new(outcome_key(outcome.job), outcome.model_dump_json().encode())
        line = JobQueue(self.app.redis, (await self.app.dispatch.job(outcome.job)).kind)
        await self.app.redis.zrem(line.queue, outcome.job)
        await line.leave(outcome.job)
        await announce_change(self.app.redis, outcome.job)


@contextmanager
def unreadable(app: Darkroom, key: str) -> Iterator[None]:
    """A store that fails whoever reads this object: not even root can follow a link to itself."""
    path = app.settings.home / "store" / key
    aside = path.rename(path.with_suffix(".aside"))
    path.symlink_to(path)
    try:
        yield
    finally:
        aside.rename(path)


def is_picture(data: bytes) -> bool:
    """Whether some bytes are a picture."""
    Image.open(io.BytesIO(data)).verify()
    return True
