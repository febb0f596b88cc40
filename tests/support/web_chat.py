"""The local web chat for tests: served as it is, with a real Valkey and store, opened in a real Chromium."""

import io
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from PIL import Image
from playwright.async_api import Browser, ConsoleMessage, Error, Locator, Page, async_playwright, expect

from bot.connectors.web.connector import opened
from storage.contract.jobs import job_key
from storage.contract.outcomes import Picture, outcome_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Photo, Subject
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.objects.store import Store
from storage.settings.bot import BotSettings
from tests.support.photo_files import saved, scene

ARTEFACTS = Path(__file__).parents[2] / "artefacts" / "web"
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    # As few processes as can be.
    *("--in-process-gpu", "--no-zygote", "--renderer-process-limit=1", "--disable-site-isolation-trials"),
]
PHONE = {"width": 360, "height": 740}
TABS: WeakKeyDictionary[Browser, Page] = WeakKeyDictionary()  # open ones, for the next visitor
EXPECTED = ("Failed to load resource", "net::ERR_")  # in the console of a page whose server is away

expect.set_options(timeout=120_000)


def settings_of(home: Path, redis_url: str, **more: Any) -> BotSettings:
    """Settings of a chat that keeps everything under `home`."""
    named = {"DARKROOM_HOME": home, "REDIS_URL": redis_url, "DARKROOM_PORT": 0, "DARKROOM_REQUESTS_PER_MINUTE": 1000}
    named |= more
    return BotSettings(_env_file=None, **named)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a Chromium; CHROMIUM names one that is not in its usual place. Without any, the test is skipped."""
    path = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
    if not Path(path).exists():
        pytest.skip(f"There is no Chromium at {path}; CHROMIUM=path names one.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def visit(browser: Browser, url: str, **media: Any) -> AsyncIterator[Page]:
    """Open a page as a new visitor; fails if it raises an error or breaks its own content security policy.

    A tab is of one visitor at a time: to open another one takes longer than most tests do.
    """
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED):
            errors.append(message.text)

    def fail(error: Error) -> None:
        errors.append(str(error))

    page = TABS.pop(browser, None) or await (await browser.new_context()).new_page()
    page.on("console", hear)
    page.on("pageerror", fail)
    await page.set_viewport_size({"width": 1100, "height": 900})
    # Motion has the processors render for as long as a page is open.
    await page.emulate_media(**{"color_scheme": "light", "reduced_motion": "reduce", **media})
    await page.goto(url)
    try:
        yield page
    except BaseException:
        await page.context.close()
        raise
    page.remove_listener("console", hear)
    page.remove_listener("pageerror", fail)
    await page.unroute_all(behavior="ignoreErrors")
    with suppress(Error):  # a page that could not be loaded keeps nothing
        await page.evaluate("localStorage.clear()")
    await page.goto("about:blank")
    TABS[browser] = page
    assert errors == []


@asynccontextmanager
async def chat(settings: BotSettings, browser: Browser, **media: Any) -> AsyncIterator[Page]:
    """Serve a chat and open it."""
    async with opened(settings, settings.redis_url) as url, visit(browser, url, **media) as page:
        await expect(page.locator("#chips button").first).to_be_visible()
        yield page


async def say(page: Page, line: str) -> Locator:
    """Type a line and send it; give the message that it makes."""
    await expect(page.locator("#messages")).to_have_attribute("aria-busy", "false")
    before = await page.locator("#messages > li").count()
    await page.fill("#line", line)
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#messages > li")).to_have_count(before + 1)
    return page.locator(f"#{await page.locator('#messages > li').last.get_attribute('id')}")


async def shot(page: Page, name: str) -> None:
    """Keep a screenshot, to be looked at, where somebody has made the folder for them: each takes long to render."""
    if ARTEFACTS.is_dir():
        await page.screenshot(path=ARTEFACTS / f"{name}.png", animations="disabled")


async def no_sideways(page: Page) -> None:
    """Fail if the page is wider than its window."""
    width, room = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room


def files(count: int, side_px: int = 300) -> list[dict[str, Any]]:
    """Photos as a browser's file field takes them."""
    return [
        {"name": f"IMG_{seed}.png", "mimeType": "image/png", "buffer": saved(scene(side_px, side_px, seed))}
        for seed in range(1, count + 1)
    ]


async def add_subject(store: Store, name: str = "rex", space: str = "local", owner: str = "you") -> Subject:
    """Store a subject that is ready, with one photo and one sample."""
    subject = Subject(space=space, owner=owner, name=name, noun="dog", base_model="toyworld", state="ready")
    photo = Photo(key=f"subjects/{subject.id}/photos/{'a' * 64}.png", sha256="a" * 64, name="IMG_1", side_px=64)
    sample = Picture(
        key=f"subjects/{subject.id}/samples/100.png", width_px=64, height_px=64, caption=f"a sample of {name}"
    )
    await store.put(photo.key, _drawn(1))
    await store.put(sample.key, _drawn(2))
    subject = subject.model_copy(update={"photos": (photo,), "samples": (sample,), "identifier": "zof"})
    await Subjects(store).add(subject)
    return subject


async def add_pictures(
    store: Store, prompt: str, space: str = "local", seeds: Sequence[int] = (5, 6), side_px: int = 64
) -> ImagineJob:
    """Store a finished job with a picture for each seed."""
    job = ImagineJob(
        id=new_id(),
        space=space,
        owner="you",
        said=f"/imagine {prompt}",
        prompt=prompt,
        model_prompt=prompt,
        seed=seeds[0],
    )
    await store.put(job_key(job.id), job.model_dump_json().encode())
    pictures = []
    for seed in (*seeds, None):
        key = f"jobs/{job.id}/attempt-1/{'grid' if seed is None else seed}.png"
        await store.put(key, _drawn(seed or 0, side_px))
        pictures.append(Picture(key=key, width_px=side_px, height_px=side_px, seed=seed, caption=prompt))
    outcome = ImagineOutcome(job=job.id, state="done", message=prompt, pictures=tuple(pictures[:-1]), grid=pictures[-1])
    await store.put(outcome_key(job.id), outcome.model_dump_json().encode())
    return job


def _drawn(seed: int, side_px: int = 64) -> bytes:
    buffer = io.BytesIO()
    picture: Image.Image = scene(side_px, side_px, seed)
    picture.save(buffer, "PNG")
    return buffer.getvalue()
