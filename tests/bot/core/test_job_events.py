"""Who follows a job hears of it as it happens, by one connection; and finds out anyway where nothing is heard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from bot.core import dispatch as dispatching
from bot.core.dispatch import Dispatch
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.progress import Progress
from storage.kinds.imagine import ImagineJob
from storage.objects.folder import FolderStore
from storage.queue import broker
from storage.queue.job_progress import JobEvent, announce_change, events_channel, write_progress

AFTER_ALL_S = 60.0


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers find nothing out by themselves."""
    monkeypatch.setattr(dispatching, "POLL_S", 600.0)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers look for themselves more often than for real."""
    monkeypatch.setattr(dispatching, "POLL_S", 0.2)


@pytest.fixture
async def dispatch(tmp_path: Path, redis: ArqRedis) -> AsyncIterator[Dispatch]:
    dispatch = Dispatch(FolderStore(tmp_path), redis)
    yield dispatch
    await dispatch.events.close()


async def accepted(dispatch: Dispatch) -> ImagineJob:
    job = ImagineJob(space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1)
    await dispatch.accept(job)
    return job


async def end(dispatch: Dispatch, job: ImagineJob) -> None:
    """End a job without a word, as a process that dies the next moment."""
    outcome = Outcome(job=job.id, state="failed", message="")
    await dispatch.store.put_new(outcome_key(job.id), outcome.model_dump_json().encode())


async def subscribers(redis: ArqRedis) -> int:
    return int((await redis.pubsub_numsub(events_channel(redis)))[0][1])


@pytest.mark.usefixtures("only_events")
async def test_news_are_heard_at_once_by_all_who_follow_through_one_connection(
    dispatch: Dispatch, redis: ArqRedis
) -> None:
    jobs = [await accepted(dispatch) for _ in range(3)]
    async with (
        aclosing(dispatch.follow(jobs[0])) as one,
        aclosing(dispatch.follow(jobs[0])) as other,
        aclosing(dispatch.follow(jobs[1])) as third,
    ):
        for follower in (one, other, third):
            assert (await anext(follower)).phase == "queued"  # type: ignore[union-attr]
        async with asyncio.timeout(AFTER_ALL_S):
            while not await subscribers(redis):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with asyncio.timeout(AFTER_ALL_S):
            await write_progress(redis, Progress(job=jobs[0].id, phase="drawing", step=3, of=30))
            for follower in (one, other):
                assert (await anext(follower)).step == 3  # type: ignore[union-attr]
            await end(dispatch, jobs[0])
            await announce_change(redis, jobs[0].id)
            for follower in (one, other):
                assert isinstance(await anext(follower), Outcome)
        assert await subscribers(redis) == 1


@pytest.mark.usefixtures("often")
async def test_a_job_whose_end_nobody_announced_ends_all_the_same(dispatch: Dispatch, redis: ArqRedis) -> None:
    job = await accepted(dispatch)
    async with aclosing(dispatch.follow(job)) as news:
        await anext(news)
        await end(dispatch, job)
        await redis.flushall()
        async with asyncio.timeout(AFTER_ALL_S):
            while not isinstance(last := await anext(news), Outcome):
                pass
    assert last.state == "failed"


@pytest.mark.parametrize("body", ['{"job": "a"}', '{"job": "a", "progress": null}'])
def test_an_older_version_says_that_a_job_has_changed_by_saying_nothing_else(body: str) -> None:
    assert JobEvent.model_validate_json(body).changed
    now = Progress(job="a", phase="drawing")
    assert not JobEvent(job="a", progress=now).changed, "what moves on has not changed in the store"


async def test_the_end_of_a_job_is_heard_of_a_bot_of_an_older_version(dispatch: Dispatch, redis: ArqRedis) -> None:
    job = await accepted(dispatch)
    async with aclosing(dispatch.follow(job)) as news:
        await anext(news)
        async with asyncio.timeout(AFTER_ALL_S):
            while not await subscribers(redis):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await end(dispatch, job)
            await redis.publish(events_channel(redis), f'{{"job": "{job.id}"}}')
            while not isinstance(await anext(news), Outcome):
                pass


@pytest.mark.usefixtures("often")
async def test_a_redis_user_who_may_not_subscribe_is_told_later(tmp_path: Path, redis: ArqRedis) -> None:
    rights = "on >secret ~* +@all -@pubsub"
    await redis.execute_command("ACL", "SETUSER", "mute", *rights.split())
    path = redis.connection_pool.connection_kwargs["path"]
    mute = broker.open_client(f"unix://mute:secret@{path}")
    dispatch = Dispatch(FolderStore(tmp_path), mute)
    job = await accepted(dispatch)
    async with aclosing(dispatch.follow(job)) as news:
        await anext(news)
        assert await write_progress(mute, Progress(job=job.id, phase="drawing", step=3, of=30)) == 0
        await announce_change(mute, job.id)
        assert await write_progress(mute, Progress(job=job.id, phase="drawing", step=4, of=30)) == 1
        async with asyncio.timeout(AFTER_ALL_S):
            while (told := await anext(news)).phase != "drawing":  # type: ignore[union-attr]
                pass
            assert told.step == 4  # type: ignore[union-attr]
            await end(dispatch, job)
            await redis.zrem(broker.queue_name("imagine"), job.id)
            while not isinstance(await anext(news), Outcome):
                pass
    await dispatch.events.close()
    await mute.aclose()
