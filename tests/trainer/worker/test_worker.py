"""A real worker process on a real queue: the whole journey, cancelling, an engine that dies, jobs told twice."""

import asyncio
import io
import time
from itertools import pairwise

import psutil
import pytest
from PIL import Image

from bot.app import Darkroom
from bot.core.messages import Reply
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.kinds.imagine import ImagineJob
from storage.queue.job_progress import read_progress
from storage.text import duration
from tests.conftest import Chat, Stack, photos_of_a_character
from trainer.worker.retry_limits import count_failed_attempt, failed_attempts

pytestmark = pytest.mark.timeout(300)


async def learned(chat: Chat, name: str = "rex", **options: object) -> Reply:
    reply = (await chat("dreambooth train", photos_of_a_character(), name=name, noun="dog", **options))[-1]
    assert reply.state == "done", reply.text
    return reply


def engine_of(stack: Stack) -> psutil.Process:
    return psutil.Process(stack.worker.pid).children()[0]


async def test_from_photos_to_pictures(chat: Chat, app: Darkroom) -> None:
    asked_s = time.time()
    replies = await chat("dreambooth train", photos_of_a_character(), name="rex", noun="dog")
    assert replies[0].text == "Looking at your 4 photos."
    assert [r.state for r in replies[:-1]] == ["working"] * (len(replies) - 1)
    assert replies[-1].text.startswith("4 photos used. rex is ready.")
    assert len(replies[-1].pictures) == 4  # at 25, 50, 75 and 100 %

    subject = await app.subjects.find(chat.space, "rex")
    assert subject and subject.state == "ready" and subject.weights_key
    assert subject.identifier not in ("", "sks")
    outcome = await app.dispatch.outcome(str(subject.job))
    assert outcome and 0 < float(outcome.first_step_s or 0) < time.time() - asked_s
    assert replies[-1].facts["first step after"] == duration(outcome.first_step_s or 0)

    drawn = (await chat("imagine", prompt="a [rex] dog in Paris", count=3, seed=7))[-1]
    assert drawn.state == "done" and drawn.grid
    assert [p.seed for p in drawn.pictures] == [7, 8, 9]
    picture = Image.open(io.BytesIO((await app.store.get(drawn.pictures[1].key)).data))
    told = picture.text  # type: ignore[attr-defined]
    assert (told["prompt"], told["seed"], told["subject"]) == ("a [rex] dog in Paris", "8", "rex")

    again = (await chat("imagine", prompt="a [rex] dog in Paris", count=3, seed=7))[-1]
    for one, other in zip(drawn.pictures, again.pictures, strict=True):
        same = [Image.open(io.BytesIO((await app.store.get(p.key)).data)).tobytes() for p in (one, other)]
        assert same[0] == same[1]


async def test_class_images_are_drawn_once_for_a_class(chat: Chat, app: Darkroom) -> None:
    await learned(chat, "one")
    sets = await app.store.names("classes/")
    await learned(chat, "two")
    assert sets and await app.store.names("classes/") == sets


@pytest.mark.slow
async def test_a_damaged_class_set_is_drawn_anew(chat: Chat, app: Darkroom) -> None:
    await learned(chat, "one", steps=2)
    subject = await app.subjects.find(chat.space, "one")
    assert subject
    key = subject.class_set
    cached, whole = app.settings.home / "cache" / key, (await app.store.get(key)).data
    cached.write_bytes(b"")  # as after a power cut
    await app.store.delete(key)
    await learned(chat, "two", steps=2)
    assert (await app.store.get(key)).data == cached.read_bytes() == whole
    for number, here in enumerate((b"torn", None)):
        await app.store.put(key, whole[:-1])
        cached.write_bytes(here) if here else cached.unlink()
        await learned(chat, f"three-{number}", steps=2)
        assert (await app.store.get(key)).data == cached.read_bytes() == whole


@pytest.mark.slow
async def test_subjects_have_identifiers_of_their_own(chat: Chat, app: Darkroom) -> None:
    for name in ("one", "two", "three"):
        await learned(chat, name, steps=1)
    assert len({s.identifier for s in await app.subjects.in_space(chat.space)}) == 3


async def started(
    app: Darkroom, chat: Chat, command: str, **arguments: object
) -> tuple[asyncio.Task[list[Reply]], str]:
    """Start a long job and wait until it works; return its task and its id."""
    uploads = photos_of_a_character() if command == "dreambooth train" else ()
    task = asyncio.create_task(chat(command, uploads, **arguments))
    async with asyncio.timeout(120):
        while True:
            for job in await app.dispatch.jobs(chat.space):
                progress = await read_progress(app.redis, job.id)
                if progress and progress.phase in ("learning", "drawing") and progress.step > 2:
                    return task, job.id
            await asyncio.sleep(0.05)


async def until_tidy(app: Darkroom, job: str) -> None:
    """Wait until nothing is left of a job but that it was accepted and how it ended."""
    async with asyncio.timeout(120):
        while await app.store.names(f"jobs/{job}/") != [job_key(job), outcome_key(job)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_cancelling_a_training_stops_it_soon_and_leaves_nothing(chat: Chat, app: Darkroom) -> None:
    task, job = await started(app, chat, "dreambooth train", name="slow", noun="dog", steps=4000)
    await app.store.put(f"jobs/{job}/samples/sample-000001.png", b"")  # as after a quarter of it
    began_s = time.monotonic()
    stopped = (await chat("dreambooth cancel", job=job))[-1]
    assert time.monotonic() - began_s < 20  # two on a quiet machine
    assert stopped.state == "done" and stopped.text.startswith("Stopped: /dreambooth train slow dog")
    assert (await task)[-1].state == "cancelled"
    assert await app.subjects.in_space(chat.space) == []
    await until_tidy(app, job)
    assert (await chat("imagine", prompt="a dog", steps=2, count=1))[-1].state == "done"  # the worker is free


async def test_cancelling_a_queued_job_takes_effect_at_once(chat: Chat, app: Darkroom) -> None:
    first, running = await started(app, chat, "dreambooth train", name="slow", noun="dog", steps=4000)
    second = asyncio.create_task(chat("dreambooth train", photos_of_a_character(seed=5), name="next", noun="dog"))
    async with asyncio.timeout(120):
        while True:
            waiting = [job for job in await app.dispatch.jobs(chat.space) if job.id != running]
            if waiting and (await app.dispatch.queues.view(waiting[0].kind)).ahead(waiting[0].id) == 1:
                break
            await asyncio.sleep(0.05)
    (queued,) = waiting
    assert "next" in (await chat("dreambooth cancel", job=queued.id))[-1].text
    assert "Cancelled before it started." in (await second)[-1].text
    assert await app.subjects.find(chat.space, "next") is None
    await chat("dreambooth cancel", job=running)
    await first


async def test_pictures_are_drawn_while_a_training_runs(chat: Chat, app: Darkroom) -> None:
    task, job = await started(app, chat, "dreambooth train", name="slow", noun="dog", steps=4000)
    assert (await chat("imagine", prompt="a dog", steps=2, count=1))[-1].state == "done"
    assert not await app.dispatch.outcome(job)
    await chat("dreambooth cancel", job=job)
    await task


async def kill(engine: psutil.Process, stack: Stack) -> psutil.Process:
    """Kill an engine; return the one that comes in its place, which is not ready yet."""
    engine.kill()
    async with asyncio.timeout(120):
        while not (found := psutil.Process(stack.worker.pid).children()) or found[0].pid == engine.pid:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found[0]


async def goes_on(app: Darkroom, job: str, after_s: float) -> bool:
    """Wait until somebody tells of a training that goes on."""
    async with asyncio.timeout(120):
        while not (told := await read_progress(app.redis, job)) or told.at_s < after_s or told.step <= 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return True


@pytest.mark.slow
async def test_an_engine_that_dies_is_started_anew_but_for_one_job_not_for_ever(
    chat: Chat, app: Darkroom, stack: Stack
) -> None:
    task, job = await started(app, chat, "dreambooth train", name="doomed", noun="dog", steps=4000)
    await kill(await kill(engine_of(stack), stack), stack)  # the second one while it starts
    assert await goes_on(app, job, after_s=time.time() + 1)  # twice it is tried again
    engine_of(stack).kill()
    failed = (await task)[-1]
    assert failed.state == "failed"
    assert "was killed from outside (signal 9)" in failed.text
    subject = await app.subjects.find(chat.space, "doomed")
    assert subject and subject.state == "failed"
    assert "could not be learned" in (await chat("imagine", prompt="a [doomed] dog in Paris"))[-1].text
    assert (await learned(chat, "doomed", steps=2)).state == "done"  # the failed one makes room


async def test_a_job_with_which_worker_after_worker_is_lost_fails_in_words(chat: Chat, app: Darkroom) -> None:
    for lost, state in ((4, "done"), (5, "failed")):
        job = ImagineJob(space=chat.space, owner="you", prompt="a dog", model_prompt="a dog", seed=1, steps=1, count=1)
        for _ in range(lost):
            await count_failed_attempt(app.redis, job.id, "loss")
        await app.dispatch.accept(job)
        *_, last = [reply async for reply in app.watch(job.id)]
        assert last.state == state, last.text
        assert state == "done" or "5 workers in a row were lost" in last.text
    assert await failed_attempts(app.redis, str((await chat("imagine", prompt="a dog", steps=1))[-1].job), "loss") == 0


async def test_a_forgotten_subject_does_not_come_back(chat: Chat, app: Darkroom) -> None:
    task, job = await started(app, chat, "dreambooth train", name="gone", noun="dog", steps=4000)
    (subject,) = await app.subjects.in_space(chat.space)
    assert (await chat("dreambooth forget", name="gone"))[-1].text.startswith("Forgot gone:")
    await task
    await asyncio.sleep(1)
    assert await app.store.names(f"subjects/{subject.id}/") == []
    assert await app.store.names(f"jobs/{job}/") == []


async def test_a_job_that_is_queued_twice_has_one_outcome(chat: Chat, app: Darkroom) -> None:
    reply = (await chat("imagine", prompt="a dog", steps=2, count=1))[-1]
    job = await app.dispatch.job(str(reply.job))
    before = (await app.store.get(outcome_key(job.id))).data
    await app.dispatch.enqueue(job)
    await asyncio.sleep(1)
    assert (await app.store.get(outcome_key(job.id))).data == before
    attempts = {name.split("/")[2] for name in await app.store.names(f"jobs/{job.id}/")}
    assert len([a for a in attempts if a.startswith("attempt")]) == 1


async def test_damaged_weights_are_noticed(chat: Chat, app: Darkroom) -> None:
    await learned(chat, "torn", steps=1)
    subject = await app.subjects.find(chat.space, "torn")
    assert subject and subject.weights_key
    await app.store.put(subject.weights_key, b"not what was learned")
    failed = (await chat("imagine", prompt="a [torn] dog in Paris"))[-1]
    assert failed.state == "failed"
    outcome = Outcome.model_validate_json((await app.store.get(outcome_key(str(failed.job)))).data)
    assert "is damaged" in outcome.detail


async def test_progress_is_told_about_once_a_second(chat: Chat, app: Darkroom) -> None:
    task, job = await started(app, chat, "dreambooth train", name="watched", noun="dog", steps=4000)
    told = set()
    async with asyncio.timeout(120):
        while len(told) < 4:
            progress = await read_progress(app.redis, job)
            assert progress
            told.add(progress.at_s)
            await asyncio.sleep(0.1)
    assert max(b - a for a, b in pairwise(sorted(told))) < 5  # one on a quiet machine
    assert progress.losses and progress.left_s
    await chat("dreambooth cancel", job=job)
    await task


async def test_the_queue_holds_no_pickle(app: Darkroom, chat: Chat) -> None:
    task, job = await started(app, chat, "dreambooth train", name="slow", noun="dog", steps=4000)
    bodies = [await app.redis.get(key) async for key in app.redis.scan_iter(match="arq:job:*")]
    assert bodies and all(body.startswith(b"{") for body in bodies)
    assert await app.store.exists(job_key(job))
    await chat("dreambooth cancel", job=job)
    await task
