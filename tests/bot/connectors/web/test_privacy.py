"""What the web page and the terminal keep to themselves, and what is left of a subject that is forgotten there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app import Darkroom
from bot.connectors.web.chat import Chat
from bot.connectors.web.gallery import Gallery
from bot.core.chat_log import ChatMessage
from bot.core.local_space import SPACE, USER
from bot.core.messages import Request
from bot.photos.uploads import Upload
from storage.contract.jobs import job_key
from storage.contract.subjects import Subject, subject_key
from storage.errors import Missing
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.lifecycle.job_index import job_of
from tests.conftest import photos_of_a_character
from tests.support.bot_process import NO_LIMITS, settings_of
from tests.support.manual_worker import Hand
from tests.support.web_chat import add_subject

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def app(slack_queue: str, tmp_path: Path) -> AsyncIterator[Darkroom]:
    about = {"DARKROOM_HOME": str(tmp_path), "REDIS_URL": slack_queue, "DARKROOM_PHOTO_MIN_PX": "64"}
    app = await Darkroom.open(settings_of({**NO_LIMITS, **about}), slack_queue)
    yield app
    await app.redis.flushdb()
    await app.close()


@pytest.fixture
async def chat(app: Darkroom) -> AsyncIterator[Chat]:
    chat = Chat(app)
    await chat.open()
    yield chat
    await chat.close()


async def ask(chat: Chat, command: str, *uploads: Upload, **arguments: str) -> ChatMessage:
    """Say something on the page, and wait until it is answered or followed."""
    given = {name.rstrip("_"): value for name, value in arguments.items()}
    said = " ".join([f"/{command}", *given.values()])
    request = Request(space=SPACE, user=USER, command=command, arguments=given, uploads=uploads, confirmed=True)
    message = await chat.ask(request, said)
    async with asyncio.timeout(120):
        while not chat.messages[message.id].answered and not chat.messages[message.id].reply.job:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return chat.messages[message.id]


async def conversation(chat: Chat) -> None:
    """Learn rex, draw it, and speak of it."""
    hand = Hand(chat.app)
    await ask(chat, "dreambooth train", *photos_of_a_character(3), name="rex", class_="dog")
    training = await hand.job(SPACE)
    assert isinstance(training, TrainJob)
    await hand.train(training)
    await ask(chat, "imagine", prompt="a [rex] dog")
    drawing = await hand.job(SPACE, 2)
    assert isinstance(drawing, ImagineJob)
    await hand.draw(drawing)
    await ask(chat, "dreambooth show", name="rex")
    await ask(chat, "jobs")
    await ask(chat, "dreambooth show", name="rexx")  # "Did you mean rex?"
    await ask(chat, "imagine", prompt="a cat in Rome")


async def history(app: Darkroom) -> str:
    """All that is kept of the conversation."""
    return " ".join([(await app.store.get(name)).data.decode() for name in await app.store.names("chats/")])


async def rested(chat: Chat) -> None:
    async with asyncio.timeout(120):
        while not all(message.answered or message.reply.job for message in chat.messages.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_forgotten_name_leaves_the_history(app: Darkroom, chat: Chat) -> None:
    await conversation(chat)
    assert "rex" in await history(app)
    said = await ask(chat, "dreambooth forget", name="rex")
    assert said.reply.text.startswith("Forgot rex"), "shown, but not kept"
    async with asyncio.timeout(120):
        while "rex" in await history(app):  # noqa: ASYNC110 (a store tells nobody)
            await asyncio.sleep(0.02)
    assert "a cat in Rome" in await history(app)
    assert [message.said for message in chat.messages.values()] == ["/imagine a cat in Rome", "/dreambooth forget rex"]


async def test_what_is_said_while_a_subject_is_forgotten_is_answered(app: Darkroom, chat: Chat) -> None:
    for _ in range(6):
        await add_subject(app.store)
        await ask(chat, "dreambooth forget", name="rex")
        said = await ask(chat, "dreambooth list")
        await rested(chat)
        assert chat.messages[said.id].reply.text.startswith("No subjects yet")


async def test_a_name_that_is_forgotten_at_the_terminal_leaves_the_history(app: Darkroom, chat: Chat) -> None:
    await conversation(chat)
    await rested(chat)
    await chat.close()
    request = Request(space=SPACE, user=USER, command="dreambooth forget", arguments={"name": "rex"}, confirmed=True)
    (reply,) = [reply async for reply in app.answer(request)]
    assert reply.text.startswith("Forgot rex")
    again = Chat(app)
    await again.open()
    assert "rex" not in await history(app) and "a cat in Rome" in await history(app)
    await again.close()


async def test_forget_me_leaves_nothing(app: Darkroom, chat: Chat) -> None:
    await conversation(chat)
    said = await ask(chat, "dreambooth forget", name="me")
    assert said.reply.text.startswith("Forgot everything of yours: 1 subject")
    async with asyncio.timeout(120):
        while len(await app.store.names("chats/")) > 1:  # noqa: ASYNC110 (a store tells nobody)
            await asyncio.sleep(0.02)
    left = {name.split("/")[0] for name in await app.store.names("")}
    assert not left & {"subjects", "jobs", "drafts"} and "rex" not in await history(app)


async def test_forget_me_leaves_no_damaged_subject_of_the_person(app: Darkroom, chat: Chat) -> None:
    mine, theirs = (
        Subject(space=SPACE, owner=owner, name=owner, noun="dog", base_model="-") for owner in (USER, "other")
    )
    for subject in (mine, theirs):
        await app.subjects.add(subject)
        await app.store.put(f"subjects/{subject.id}/photos/1.png", b"a photo")
        record = (await app.store.get(subject_key(subject.id))).data
        await app.store.put(subject_key(subject.id), record[:-1])
    said = await ask(chat, "dreambooth forget", name="me")
    assert said.reply.text.startswith("Forgot everything of yours: 1 subject")
    left = await app.store.names("subjects/")
    assert {name.split("/")[1] for name in left} == {theirs.id}, "damaged ones of others stay"


async def test_forget_me_leaves_no_damaged_job_of_the_person_and_tells_what_is_left(app: Darkroom, chat: Chat) -> None:
    mine, theirs, nobodys = (
        ImagineJob(space=SPACE, owner=owner, prompt="a", model_prompt="a", seed=1) for owner in (USER, "other", USER)
    )
    for job in (mine, theirs, nobodys):
        await app.dispatch.accept(job)
        record = (await app.store.get(job_key(job.id))).data
        torn = record[:-1] if job is not nobodys else record.replace(b"owner", b"0wner")
        await app.store.put(job_key(job.id), torn)
    await app.store.put("drafts/0123456789abcdef0123/draft.json", b"torn")
    said = await ask(chat, "dreambooth forget", name="me")
    assert (
        said.reply.text.startswith("Forgot everything of yours")
        and "1 record without a readable owner" in said.reply.text
    )
    assert {name.split("/")[1] for name in await app.store.names("jobs/")} == {theirs.id, nobodys.id}
    assert not [name for name in await app.store.names("jobs-of/") if job_of(name) == mine.id]


async def test_pictures_of_others_are_not_served(app: Darkroom) -> None:
    hand, gallery = Hand(app), Gallery(app)
    theirs = Subject(space=SPACE, owner="other", name="tom", noun="dog", base_model="-", shared="private")
    await app.subjects.add(theirs)
    about = {"space": SPACE, "owner": "other", "prompt": "a [tom] dog", "model_prompt": "a dog", "seed": 1}
    job = ImagineJob.model_validate({**about, "subject": theirs.id, "shared": "space"})
    await app.dispatch.accept(job)
    await hand.draw(job)
    assert not await gallery.subjects() and not await gallery.pictures("", 10)
    outcome = await app.dispatch.outcome(job.id)
    assert outcome
    with pytest.raises(Missing):
        await gallery.picture(outcome.pictures[0].key)
