"""The page shows what is being drawn as it looks so far, to whom may see it, while somebody looks."""

import asyncio
import io
from contextlib import nullcontext
from pathlib import Path

import aiohttp
import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from bot.app import Darkroom
from bot.connectors.web.chat import Chat
from bot.connectors.web.connector import opened
from bot.connectors.web.previews import Previews
from bot.core.local_space import SPACE, USER
from bot.core.messages import Request
from storage.contract.progress import Progress
from storage.errors import Missing
from storage.kinds.imagine import ImagineJob
from storage.queue.job_progress import write_progress
from storage.queue.previews import are_previews_wanted, read_preview, write_preview
from storage.settings.bot import BotSettings
from tests.support.manual_worker import Hand
from tests.support.web_chat import say, settings_of, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(360)]


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def drawing(job: str, preview: int) -> Progress:
    return Progress(job=job, phase="drawing", step=3, of=30, live={"preview": preview} if preview else {})


@pytest.mark.slow
async def test_a_page_shows_previews_until_the_picture_is_there(settings: BotSettings, browser: Browser) -> None:
    app = await Darkroom.open(settings, settings.redis_url)
    hand = Hand(app)
    async with opened(settings, settings.redis_url) as url, visit(browser, url) as page:
        await expect(page.locator("#chips button").first).to_be_visible()
        message = await say(page, "a dog in Paris")
        job = await hand.job(SPACE)
        assert isinstance(job, ImagineJob)
        await write_progress(app.redis, drawing(job.id, 0))
        async with asyncio.timeout(60):
            while not await are_previews_wanted(app.redis, job.id):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await write_preview(app.redis, job.id, jpeg("red"))
        await write_progress(app.redis, drawing(job.id, 1))
        image = message.locator(".preview img")
        await expect(image).to_be_visible()
        await expect(image).to_have_attribute("src", f"/previews/{job.id}?n=1")
        assert await image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
        await hand.draw(job)
        await expect(message.locator(".tile").first).to_be_visible()
        await expect(image).to_have_count(0)
        assert await read_preview(app.redis, job.id) is None
    assert not [name for name in await app.store.names("") if "preview" in name]
    await app.close()


async def test_previews_are_for_those_who_may_see_the_job(settings: BotSettings) -> None:
    app = await Darkroom.open(settings, settings.redis_url)
    said = {"prompt": "a secret", "model_prompt": "a secret", "seed": 1}
    mine = ImagineJob(space=SPACE, owner=USER, **said)
    theirs = ImagineJob(space="discord:7", owner="ada", shared="space", **said)
    for job in (mine, theirs):
        await app.dispatch.accept(job)
        await write_preview(app.redis, job.id, jpeg("red"))
    previews = Previews(app)
    assert await previews.read(mine.id) == jpeg("red")
    with pytest.raises(Missing):
        await previews.read(theirs.id)
    async with opened(settings, settings.redis_url) as url, aiohttp.ClientSession() as client:
        for job, status in ((mine.id, 200), (theirs.id, 404), ("0" * 20, 404)):
            async with client.get(f"{url}/previews/{job}") as response:
                assert response.status == status
                assert status != 200 or response.headers["Cache-Control"] == "no-store"
    for job in (mine, theirs):
        await app.dispatch.cancel(job)
    await app.close()


@pytest.mark.parametrize(("previews", "is_open"), [("web", False), ("off", True)])
async def test_nobody_asks_for_them_while_no_page_is_open_or_they_are_off(
    tmp_path: Path, redis_url: str, previews: str, is_open: bool
) -> None:
    settings = settings_of(tmp_path, redis_url, DARKROOM_PREVIEWS=previews)
    app = await Darkroom.open(settings, redis_url)
    chat = Chat(app)
    await chat.open()
    request = Request(space=SPACE, user=USER, command="imagine", arguments={"prompt": "a dog"})
    with chat.listening() if is_open else nullcontext():
        message = await chat.ask(request, "a dog")
        job = await Hand(app).job(SPACE)
        await write_progress(app.redis, drawing(job.id, 1))
        async with asyncio.timeout(60):
            while chat.messages[message.id].reply.preview != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert not await are_previews_wanted(app.redis, job.id)
    await chat.close()
    await app.close()
