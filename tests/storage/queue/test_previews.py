"""Previews in Redis: bounded, gone with their job, and made only while somebody looks."""

from arq.connections import ArqRedis

from storage.ids import new_id
from storage.queue.job_progress import announce_change
from storage.queue.previews import (
    KEPT_S,
    PREVIEW_MAX_BYTES,
    are_previews_wanted,
    preview_key,
    read_preview,
    want_previews,
    write_preview,
)


async def test_the_newest_is_kept_for_a_moment_and_one_that_is_too_large_is_not(redis: ArqRedis) -> None:
    job = new_id()
    assert await read_preview(redis, job) is None
    assert await write_preview(redis, job, b"first") and await write_preview(redis, job, b"second")
    assert not await write_preview(redis, job, bytes(PREVIEW_MAX_BYTES + 1))
    assert await read_preview(redis, job) == b"second"
    assert 0 < await redis.ttl(preview_key(job)) <= KEPT_S


async def test_it_goes_with_the_end_of_its_job(redis: ArqRedis) -> None:
    job, other = new_id(), new_id()
    for each in (job, other):
        await write_preview(redis, each, b"drawn")
    await announce_change(redis, job)
    assert await read_preview(redis, job) is None and await read_preview(redis, other)


async def test_that_somebody_looks_lapses(redis: ArqRedis) -> None:
    job = new_id()
    assert not await are_previews_wanted(redis, job)
    await want_previews(redis, job)
    assert await are_previews_wanted(redis, job)
    (mark,) = await redis.keys("darkroom:preview-wanted:*")
    assert 0 < await redis.ttl(mark) <= 10
