"""A first look from chat: pictures before anything is learned, the subject at once, and nothing left where it goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.app import Darkroom
from bot.core.messages import Accepted, Reply, Request
from bot.photos.uploads import Upload
from storage.contract.outcomes import Picture
from storage.contract.photo_source import FIRST_LOOK
from storage.contract.subjects import Subject
from storage.errors import StoreError
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.objects.folder import FolderStore
from storage.queue.broker import connect
from storage.queue.job_queue import queued_jobs
from storage.queue.reference_photos import note_references
from tests.conftest import Chat, photos_of_a_character
from tests.servers.backing import valkey
from tests.support.manual_worker import Hand
from tests.support.web_chat import settings_of

pytestmark = pytest.mark.timeout(300)
PLACE = "discord:7"
CARD = {"likeness": 0.5, "obedience": 1.0}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Darkroom]:
    """A bot whose workers have a base model that draws from four photos."""
    with valkey() as url:
        app = await Darkroom.open(settings_of(tmp_path, url), url)
        await note_references(app.redis, 4)
        yield app
        await app.close()


async def asked(app: Darkroom, command: str, uploads: Any = (), user: str = "you", **arguments: str) -> Reply:
    """The last reply to a request, which does not wait for its job."""
    given = {"class" if name == "noun" else "with" if name == "audience" else name: v for name, v in arguments.items()}
    request = Request(space=PLACE, user=user, command=command, uploads=uploads, arguments=given, confirmed=True)
    *_, reply = [reply async for reply in app.answer(request)]
    return reply


async def trained(app: Darkroom, **how: str) -> tuple[TrainJob, ImagineJob, Subject]:
    """A training as it is accepted, the drawing that goes with it, and their subject."""
    reply = await asked(app, "dreambooth train", photos_of_a_character(3), name="rex", noun="dog", **how)
    assert isinstance(reply, Accepted), reply
    job = await app.dispatch.job(reply.job)
    assert isinstance(job, TrainJob)
    look = await app.dispatch.job(job.first_look)
    assert isinstance(look, ImagineJob)
    return job, look, await app.subjects.get(job.subjects[0])


@asynccontextmanager
async def watched(app: Darkroom, job: str) -> AsyncIterator[Callable[[Callable[[Reply], bool]], Any]]:
    """Follow a job; waits for a reply that something is true of."""
    shown: list[Reply] = []

    async def watch() -> None:
        async for reply in app.watch(job):
            shown.append(reply)

    async def until(found: Callable[[Reply], bool]) -> Reply:
        async with asyncio.timeout(120):
            while not any(map(found, shown)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return next(filter(found, shown))

    task = asyncio.create_task(watch())
    yield until
    task.cancel()


async def test_a_training_shows_its_first_look_and_the_subject_can_be_drawn_at_once(app: Darkroom) -> None:
    job, look, subject = await trained(app)
    assert look.from_photos and look.subjects == job.subjects and look.prompt == "a [rex] dog in Paris"
    assert look.model_prompt == "the dog from the reference photos in Paris"
    async with watched(app, job.id) as until:
        assert not (await until(lambda reply: reply.state == "working")).pictures
        await Hand(app).draw(look)
        said = await until(lambda reply: bool(reply.pictures))
        assert said.state == "working" and f"{FIRST_LOOK}." in said.text and len(said.pictures) == look.count
        await Hand(app).progress(job.id, samples=1)
        assert len((await until(lambda reply: len(reply.pictures) > look.count)).pictures) == look.count + 1
        for prompt, more in (
            ("a [rex] dog asleep", {}),
            ("a [V] dog asleep", {"subject": "rex"}),
            ("a [V] asleep", {}),
        ):
            reply = await asked(app, "imagine", prompt=prompt, **more)
            drawing = await app.dispatch.job(str(reply.job))
            assert isinstance(drawing, ImagineJob) and drawing.from_photos and drawing.subjects == (subject.id,)
            assert drawing.model_prompt == "the dog from the reference photos asleep"
        await Hand(app).train(job)
        assert (await until(lambda reply: reply.state == "done")).pictures


async def test_a_first_look_that_fails_is_told_and_the_training_goes_on(app: Darkroom) -> None:
    job, look, _ = await trained(app)
    async with watched(app, job.id) as until:
        await Hand(app).fail(look.id, "The photos of rex are gone.")
        said = await until(lambda reply: "There is no first look: The photos of rex are gone." in reply.text)
        assert said.state == "working"
        await Hand(app).train(job)
        await until(lambda reply: reply.state == "done")


async def test_without_references_nothing_is_drawn_and_it_is_not_ready(app: Darkroom) -> None:
    await note_references(app.redis, 0)
    await asked(app, "dreambooth train", photos_of_a_character(3), name="rex", noun="dog")
    (job,) = await app.dispatch.jobs(PLACE)
    assert isinstance(job, TrainJob) and not job.first_look
    assert (await asked(app, "imagine", prompt="a [rex] dog asleep")).text == "rex is not ready yet."


async def test_private_means_private(app: Darkroom) -> None:
    _, look, subject = await trained(app, audience="private")
    await Hand(app).draw(look)
    friend = Chat(app, PLACE, "friend")
    assert "no subject called rex" in (await asked(app, "imagine", user="friend", prompt="a [rex] asleep")).text
    listed = (await friend("jobs"))[-1].facts
    assert all("rex" not in line for line in listed.values()) and look.id in listed
    assert "There is no job" in (await friend("details", job=look.id))[-1].text
    await asked(app, "dreambooth share", name="rex", audience="space")
    assert (await app.subjects.get(subject.id)).shared == "space"
    assert "rex" in (await friend("details", job=look.id))[-1].facts["prompt"]


async def left(app: Darkroom) -> list[str]:
    """What is stored of people's things."""
    return [name for name in await app.store.names("") if name.startswith(("jobs/", "subjects/", "jobs-about/"))]


@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "waiting"])
async def test_forgetting_leaves_nothing_of_a_first_look(app: Darkroom, drawn: bool) -> None:
    _, look, _ = await trained(app)
    if drawn:
        await Hand(app).draw(look)
    assert (await asked(app, "dreambooth forget", name="rex")).text.startswith("Forgot rex")
    assert not await left(app)


@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "waiting"])
async def test_cancelling_the_training_leaves_nothing_of_it_either(app: Darkroom, drawn: bool) -> None:
    job, look, _ = await trained(app)
    if drawn:
        await Hand(app).draw(look)
    await asked(app, "dreambooth cancel", job=job.id)
    assert {name for name in await left(app) if not name.startswith("jobs-about/")} == {
        f"jobs/{job.id}/job.json",
        f"jobs/{job.id}/outcome.json",
    }
    assert not any(look.id in name for name in await app.store.names(""))
    assert not await queued_jobs(app.redis)


async def test_drawings_that_go_with_a_cancelled_training_wait_no_longer(app: Darkroom) -> None:
    job, _, _ = await trained(app)
    assert isinstance(await asked(app, "imagine", prompt="a [rex] dog asleep"), Accepted)
    other = await asked(app, "imagine", prompt="a dog asleep")
    await asked(app, "dreambooth cancel", job=job.id)
    assert await queued_jobs(app.redis) == {other.job}


async def failed(app: Darkroom) -> tuple[ImagineJob, Subject]:
    """A first look that is drawn, and its subject, whose training has failed."""
    job, look, subject = await trained(app)
    await Hand(app).draw(look)
    async with watched(app, job.id) as until:
        await Hand(app).fail(job.id)
        await until(lambda reply: reply.state == "failed")
    return look, subject


async def test_a_failed_training_leaves_it_drawable_and_drawings_are_not_deleted_for_its_name(app: Darkroom) -> None:
    _, subject = await failed(app)
    drawing = await asked(app, "imagine", user="friend", prompt="a [rex] dog asleep")
    assert isinstance(drawing, Accepted)
    before = await left(app)
    said = await asked(app, "dreambooth train", photos_of_a_character(3), name="rex", noun="dog")
    assert said.fault == "input" and "already a subject called rex here, of which pictures were asked for" in said.text
    assert "/dreambooth retrain rex" in said.text and "/dreambooth forget rex" in said.text
    assert await left(app) == before and (await app.subjects.get(subject.id)).photos
    await asked(app, "dreambooth forget", name="rex")
    await trained(app)


async def test_a_failed_subject_that_nobody_has_drawn_gives_way_once_the_new_photos_are_fine(app: Darkroom) -> None:
    look, subject = await failed(app)
    before = await left(app)
    torn = tuple(Upload(name=f"rex-{k}.png", data=b"no picture") for k in range(3))
    assert "Nothing was trained." in (await asked(app, "dreambooth train", torn, name="rex", noun="dog")).text
    assert await left(app) == before
    _, _, new = await trained(app)
    assert new.id != subject.id and not await app.store.names(f"jobs/{look.id}/")
    assert not await app.store.names(f"subjects/{subject.id}/")


class PhotoRefusingStore(FolderStore):
    """A folder that takes no photos while it `refuses` them."""

    refuses = False

    async def put(self, key: str, data: bytes) -> None:
        """Write an object, unless it is a photo."""
        if self.refuses and "/photos/" in key:
            raise StoreError("There is no room for photos.")
        await super().put(key, data)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "plain"])
async def test_a_failed_subject_stays_where_the_new_photos_cannot_be_stored(tmp_path: Path, drawn: bool) -> None:
    store = PhotoRefusingStore(tmp_path / "store")
    with valkey() as url:
        app = Darkroom(settings_of(tmp_path, url), store, await connect(url, settings_of(tmp_path, url)))
        await note_references(app.redis, 4 if drawn else 0)
        asking = {"name": "rex", "noun": "dog"}
        reply = await asked(app, "dreambooth train", photos_of_a_character(3), **asking)
        await Hand(app).fail(str(reply.job))
        async with watched(app, str(reply.job)) as until:
            await until(lambda reply: reply.state == "failed")
        before = await left(app)
        store.refuses = True
        assert (await asked(app, "dreambooth train", photos_of_a_character(3), **asking)).fault
        assert await left(app) == before
        store.refuses = False
        again = await asked(app, "dreambooth train", photos_of_a_character(3), **asking)
        assert isinstance(again, Accepted), again
        subjects = await app.subjects.in_space(PLACE)
        assert [subject.job for subject in subjects] == [again.job]
        assert not {name for name in before if name.startswith("subjects/")} & {*await left(app)}
        await app.close()


async def test_a_failed_subject_stays_where_the_new_training_is_one_too_many(app: Darkroom) -> None:
    await failed(app)
    before = await left(app)
    app.limits.settings = app.settings.model_copy(update={"trainings_per_person": 0})
    said = await asked(app, "dreambooth train", photos_of_a_character(3), name="rex", noun="dog")
    assert "which is the limit" in said.text and await left(app) == before


async def learned(app: Darkroom, **says: object) -> Subject:
    """A subject whose training is over, as its record says."""
    job, look, subject = await trained(app)
    await Hand(app).draw(look)
    await Hand(app).train(job)
    compared = Picture(key=f"jobs/{job.id}/a/compared.png", width_px=8, height_px=4)
    cards = {"metrics": {**CARD, "portrait": 0.5}, "first_look": {"likeness": 0.8, "obedience": 0.75}}
    changes = {"method": "lora", "compared": compared, **cards, **says}
    return await app.subjects.change(subject.id, lambda record: record.model_copy(update=changes))


async def test_the_other_one_is_a_button_away(app: Darkroom) -> None:
    subject = await learned(app, drawn_from="photos")
    shown = await asked(app, "dreambooth show", name="rex")
    assert "[rex] is drawn from its photos alone" in shown.text and subject.compared in shown.pictures
    assert "Before, from the photos alone: likeness 0.80, follows the prompt 75 %." in shown.text
    assert "After, as learned: likeness 0.50, follows the prompt 100 %." in shown.text
    (button,) = [button for button in shown.buttons if button.command == "dreambooth use"]
    first = await app.dispatch.job(str((await asked(app, "imagine", prompt="a [rex] dog asleep")).job))
    assert isinstance(first, ImagineJob) and first.from_photos

    refused = await asked(app, button.command, user="friend", **button.arguments)
    assert refused.text == "Only the person who made this can change it."
    pressed = await asked(app, button.command, **button.arguments)
    assert pressed.text.startswith("rex is now drawn as it was learned.")
    assert not pressed.shown  # it may be answered where not all may see the subject
    (back,) = [button for button in pressed.buttons if button.command == "dreambooth use"]
    assert (button.label, back.label) == ("Draw as learned", "Draw from photos")
    again = await app.dispatch.job(str((await asked(app, "again", job=first.id)).job))
    assert isinstance(again, ImagineJob) and not again.from_photos and again.model_prompt == "a sks dog asleep"
    assert (await asked(app, back.command, **back.arguments)).text.startswith("rex is now drawn from its photos alone.")
    assert (await app.subjects.get(subject.id)).is_drawn_from_photos


async def test_what_cannot_be_used_is_refused_in_words(app: Darkroom) -> None:
    _, _, subject = await trained(app)
    said = (await asked(app, "dreambooth use", name="rex", source="training")).text
    assert said == "rex is not learned yet: until then it is drawn from its photos."
    await app.subjects.change(subject.id, lambda record: record.model_copy(update={"references": 0, "state": "ready"}))
    assert "cannot be drawn from its photos" in (await asked(app, "dreambooth use", name="rex", source="photos")).text
    assert "source" in (await asked(app, "dreambooth use", name="rex", source="memory")).text.casefold()
