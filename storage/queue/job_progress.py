"""Progress of jobs: the newest of each under a key, and every change on a channel of pub/sub.

It may be lost at any time, and whoever follows a job then looks into the store.
"""

from contextlib import suppress
from typing import Self

from arq.connections import ArqRedis
from pydantic import BaseModel, model_validator

from storage.contract.progress import Progress
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Newer
from storage.queue.previews import preview_key
from storage.queue.subscription import channel_name

PROGRESS_TTL_S = 24 * 3600
EVENTS = "darkroom:events"  # the channel on which a `JobEvent` is published
CHANGES_TTL_S = 3600


class JobEvent(BaseModel):
    """What is published of a job: its progress, or that it has changed in the store.

    Versions before there was `changed` say that by leaving out the progress, and read it so.
    """

    job: str
    progress: Progress | None = None
    changed: bool = False

    @model_validator(mode="after")
    def _without_progress_is_changed(self) -> Self:
        self.changed = self.changed or self.progress is None
        return self


def progress_key(job: str) -> str:
    """Key of a job's newest progress."""
    return f"darkroom:progress:{job}"


async def write_progress(redis: ArqRedis, progress: Progress) -> int:
    """Publish where a job is; return how often `announce_change` was called for it."""
    event = JobEvent(job=progress.job, progress=progress).model_dump_json()
    async with redis.pipeline(transaction=False) as all_of:
        all_of.set(progress_key(progress.job), progress.model_dump_json(), ex=PROGRESS_TTL_S)
        all_of.get(_changes_key(progress.job))
        all_of.publish(events_channel(redis), event)
        written, changes, _ = await all_of.execute(raise_on_error=False)  # not every user may publish
    for answer in (written, changes):
        if isinstance(answer, Exception):
            raise answer
    return int(changes or 0)


def events_channel(redis: ArqRedis) -> str:
    """The channel on which each `JobEvent` of this deployment is published."""
    return channel_name(redis, EVENTS)


async def announce_change(redis: ArqRedis, job: str) -> None:
    """Announce that a job has ended or is deleted: its worker and whoever follows it look into the store.

    Its progress goes, and its preview: that may have text of an answer, which is deleted with the job.
    """
    async with redis.pipeline(transaction=False) as all_of:
        all_of.incr(_changes_key(job))
        all_of.expire(_changes_key(job), CHANGES_TTL_S)
        all_of.delete(progress_key(job), preview_key(job))
        all_of.publish(events_channel(redis), JobEvent(job=job, changed=True).model_dump_json())
        counted, *_ = await all_of.execute(raise_on_error=False)
    if isinstance(counted, Exception):
        raise counted


def _changes_key(job: str) -> str:
    return f"darkroom:changes:{job}"


async def read_progress(redis: ArqRedis, job: str) -> Progress | None:
    """The newest progress of a job, if any was published and can be understood: it is not worth more than that."""
    body = await redis.get(progress_key(job))
    with suppress(Damaged, Newer):
        return parsed_in_part(Progress, body, progress_key(job)) if body else None
    return None
