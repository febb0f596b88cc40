"""From photos to a first look, a drawing while the training runs, and the choice at its end, through the real queue."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from PIL import Image

from bot.app import Darkroom
from bot.core.messages import Accepted, Reply, Request
from bot.photos.uploads import Upload
from storage.contract.photo_source import FIRST_LOOK, better_source
from storage.kinds.imagine import IMAGINE
from storage.kinds.train import TrainJob
from storage.queue.reference_photos import noted_references
from tests.conftest import Chat, Stack, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import valkey
from tests.support.micro_models import write_micro_clip, write_micro_klein

pytestmark = pytest.mark.timeout(600)
SHORT = "candidates=1 sample_steps=2 class_images=2 class_steps=2 looking_share=1"


@pytest.fixture(scope="module")
def klein_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployment whose base model draws from photos, and whose worker measures likeness."""
    folder, home = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("home")
    klein = write_micro_klein(folder / "klein")
    known = json.loads((klein / "darkroom.json").read_text())
    (klein / "darkroom.json").write_text(
        json.dumps(known | {"drawing": {"steps": 2, "guidance": 1, "scheduler": "euler"}})
    )
    with valkey() as url:
        environment = {
            "DARKROOM_HOME": str(home),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(klein),
            "DARKROOM_JUDGE": str(write_micro_clip(folder / "clip")),
            "DARKROOM_PHOTO_MIN_PX": "64",
        }
        worker = start_worker(environment)
        yield Stack(environment, url, home, worker)
        stop_worker(worker)


@pytest.fixture
async def klein_app(klein_stack: Stack) -> AsyncIterator[Darkroom]:
    app = await Darkroom.open(klein_stack.settings, klein_stack.redis_url)
    async with asyncio.timeout(300):
        while not await noted_references(app.redis):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    yield app
    await app.close()


def small_photos(count: int) -> tuple[Upload, ...]:
    """Photos of which a micro model makes few tokens."""
    uploads = []
    for photo in photos_of_a_character(count):
        Image.open(io.BytesIO(photo.data)).resize((64, 64)).save(buffer := io.BytesIO(), "PNG")
        uploads.append(Upload(name=photo.name, data=buffer.getvalue()))
    return tuple(uploads)


async def accepted(chat: Chat, command: str, uploads: tuple[Upload, ...] = (), **given: str) -> str:
    """The id of a job that was asked for."""
    asked = Request(space=chat.space, user=chat.user, command=command, arguments=given, uploads=uploads)
    *_, reply = [reply async for reply in chat.app.answer(asked)]
    assert isinstance(reply, Accepted), reply
    return reply.job


async def training(chat: Chat, photos: int, steps: int) -> str:
    """The id of a training of a few photos."""
    given = {"name": "rex", "class": "dog", "steps": str(steps), "set": SHORT}
    return await accepted(chat, "dreambooth train", small_photos(photos), **given)


@pytest.mark.slow
async def test_photos_are_drawn_from_at_once_and_what_is_better_stays(klein_app: Darkroom) -> None:
    app, chat, began_s = klein_app, Chat(klein_app, "here"), time.monotonic()
    job = await training(chat, photos=6, steps=100)  # long enough for somebody to see the first look
    looks: list[Reply] = []
    async for reply in app.watch(job):
        if reply.state == "working" and FIRST_LOOK in reply.text and not looks:
            looks.append(reply)
            print(f"first look after {time.monotonic() - began_s:.1f} s")  # noqa: T201
            rex = await app.subjects.find(chat.space, "rex")
            assert rex and rex.state == "learning"
            drawn = (await chat("imagine", prompt="a [rex] dog asleep", count=1))[-1]
            assert drawn.state == "done" and "Drawn from 4 photos alone" in drawn.text, drawn
            assert "There are 6, and FLUX.2 [klein] takes 4 at most." in drawn.text
    assert looks and len(looks[0].pictures) == 4
    assert reply.state == "done", reply
    rex = await app.subjects.find(chat.space, "rex")
    assert rex and rex.references == 4 and rex.compared in reply.pictures
    assert rex.drawn_from == better_source(rex.metrics, rex.first_look) and rex.first_look.keys() < rex.metrics.keys()
    (button,) = [button for button in reply.buttons if button.command == "dreambooth use"]
    (before,) = (await chat("imagine", prompt="a [rex] dog asleep", count=1, seed=3))[-1].pictures
    assert "is now drawn" in (await chat(button.command, **button.arguments))[-1].text
    (after,) = (await chat("imagine", prompt="a [rex] dog asleep", count=1, seed=3))[-1].pictures
    assert (await app.store.get(before.key)).data != (await app.store.get(after.key)).data
    await chat("dreambooth forget", name="rex")
    assert not [name for name in await app.store.names("") if name.startswith(("jobs/", "subjects/"))]


async def test_forgetting_while_a_first_look_is_drawn_leaves_nothing(klein_app: Darkroom) -> None:
    app, chat = klein_app, Chat(klein_app, "there")
    job = await app.dispatch.job(await training(chat, photos=3, steps=1000))
    assert isinstance(job, TrainJob) and job.first_look
    drawing = await accepted(chat, "imagine", prompt="a [rex] dog asleep", count="16", steps="150")
    async with asyncio.timeout(300):
        async for reply in app.watch(drawing):
            if reply.progress and reply.progress.phase == "drawing":
                break
    await chat("dreambooth forget", name="rex")
    async with asyncio.timeout(300):
        while any(name.startswith(("jobs/", "subjects/", "open/")) for name in await app.store.names("")):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    drawn = (await chat("imagine", prompt="a dog asleep", count=1))[-1]
    assert drawn.state == "done" and await IMAGINE.read_outcome(app.store, str(drawn.job))
    assert not list((app.settings.home / "work").rglob("photo-*"))
