"""Deleting one picture of several: what is left of the job, who may, and what the web chat shows afterwards."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app import Darkroom
from bot.connectors.web.chat import Chat
from bot.core.local_space import SPACE, USER
from bot.core.messages import Reply, Request
from storage.contract.outcomes import Outcome
from storage.kinds.imagine import ImagineJob
from tests.support.bot_process import NO_LIMITS, settings_of
from tests.support.manual_worker import Hand

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def app(slack_queue: str, tmp_path: Path) -> AsyncIterator[Darkroom]:
    about = {"DARKROOM_HOME": str(tmp_path), "REDIS_URL": slack_queue}
    app = await Darkroom.open(settings_of({**NO_LIMITS, **about}), slack_queue)
    yield app
    await app.redis.flushdb()
    await app.close()


async def drawing(app: Darkroom, done: bool = True) -> ImagineJob:
    """A job of four pictures, with seeds 1 to 4."""
    about = {"said": "/imagine a dog", "prompt": "a dog", "model_prompt": "a dog", "seed": 1, "shared": "space"}
    job = ImagineJob.model_validate({"space": SPACE, "owner": USER, **about})
    await app.dispatch.accept(job)
    if done:
        await Hand(app).draw(job)
    return job


async def delete(app: Darkroom, job: ImagineJob, seed: int, user: str = USER) -> Reply:
    request = Request(space=SPACE, user=user, command="delete", arguments={"job": job.id, "seed": str(seed)})
    (reply,) = [reply async for reply in app.answer(request)]
    return reply


async def outcome_of(app: Darkroom, job: ImagineJob) -> Outcome:
    outcome = await app.dispatch.outcome(job.id)
    assert outcome
    return outcome


async def test_one_picture_goes_with_the_grid_and_the_others_stay(app: Darkroom) -> None:
    job = await drawing(app)
    before = await outcome_of(app, job)
    reply = await delete(app, job, 2)
    assert reply.text.splitlines()[0] == "Deleted the picture with seed 2: 3 pictures left."
    assert reply.grid is None and [picture.seed for picture in reply.pictures] == [1, 3, 4]
    after = await outcome_of(app, job)
    assert after == before.model_copy(update={"pictures": reply.pictures, "grid": None})
    pictures = [name for name in await app.store.names(f"jobs/{job.id}/") if name.endswith(".png")]
    assert pictures == sorted(picture.key for picture in after.pictures)
    assert not await app.dispatch.index.open_jobs(SPACE)


async def test_the_last_picture_takes_the_job_along(app: Darkroom) -> None:
    job = await drawing(app)
    for seed in (1, 2, 3):
        assert (await delete(app, job, seed)).pictures
    assert (await delete(app, job, 4)).text == "Deleted the picture with seed 4: 0 pictures left."
    assert await app.store.names("jobs/") == []


async def test_two_who_delete_at_once_delete_what_they_asked_for(app: Darkroom) -> None:
    job = await drawing(app)
    replies = await asyncio.gather(*(delete(app, job, seed) for seed in (1, 3, 3)))
    assert sorted(reply.state for reply in replies) == ["done", "done", "failed"]
    assert [picture.seed for picture in (await outcome_of(app, job)).pictures] == [2, 4]


async def test_what_cannot_be_deleted_is_told_and_stays(app: Darkroom) -> None:
    job, running = await drawing(app), await drawing(app, done=False)
    before = await outcome_of(app, job)
    assert (await delete(app, job, 7)).text == "There is no picture with seed 7 there, or not any more."
    assert (await delete(app, job, 1, user="other")).text.startswith("Only the person who made this")
    assert (await delete(app, running, 1)).text == "That is not finished yet."
    assert await outcome_of(app, job) == before
    assert await app.dispatch.outcome(running.id) is None, "it goes on"


async def test_a_moderator_who_may_not_see_a_job_deletes_a_picture_and_is_shown_no_other(app: Darkroom) -> None:
    about = {"said": "/imagine a dog", "prompt": "a dog", "model_prompt": "a dog", "seed": 1, "said_in": "club"}
    of_club = {"space": "discord:7", "owner": "amy", "shared": "channel", "shared_with": "club"}
    job = ImagineJob.model_validate({**about, **of_club})
    await app.dispatch.accept(job)
    await Hand(app).draw(job)
    arguments = {"job": job.id, "seed": "2"}
    request = Request(space="discord:7", user="bob", command="delete", arguments=arguments, moderates="space")
    (reply,) = [reply async for reply in app.answer(request)]
    assert reply.text == "Deleted the picture with seed 2: 3 pictures left."
    assert not reply.pictures and not reply.facts and not reply.job
    assert [picture.seed for picture in (await outcome_of(app, job)).pictures] == [1, 3, 4]


async def test_the_message_of_a_deleted_picture_shows_those_that_are_left(app: Darkroom) -> None:
    chat = Chat(app)
    await chat.open()
    asked = Request(space=SPACE, user=USER, command="imagine", arguments={"prompt": "a dog", "seed": "1"})
    made = await chat.ask(asked, "a dog")
    job = await Hand(app).job(SPACE)
    assert isinstance(job, ImagineJob)
    await Hand(app).draw(job)
    await until(chat, made.id, "done")
    request = Request(space=SPACE, user=USER, command="delete", arguments={"job": job.id, "seed": "2"})
    said = await chat.ask(request, "Delete one picture")
    await until(chat, said.id, "done")
    assert chat.messages[said.id].reply == Reply(text="Deleted the picture with seed 2: 3 pictures left.")
    await chat.close()
    again = Chat(app)
    await again.open()
    assert [picture.seed for picture in again.messages[made.id].reply.pictures] == [1, 3, 4]
    assert again.messages[made.id].reply.text == "a dog"
    await again.close()


async def until(chat: Chat, message: str, state: str) -> None:
    async with asyncio.timeout(120):
        while chat.messages[message].reply.state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
