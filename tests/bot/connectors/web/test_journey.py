"""The whole path in the local web chat: a real worker process with the micro model, and a real Chromium."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from bot.connectors.web.connector import opened
from tests.conftest import Stack
from tests.support.web_chat import say, shot, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

SAMPLES = sorted((Path(__file__).parents[4] / "bot" / "samples").glob("*.png"))
LONG_MS = 120_000


@pytest_asyncio.fixture(loop_scope="session")
async def url(stack: Stack) -> AsyncIterator[str]:
    """The page of a deployment with a worker."""
    async with opened(stack.settings.model_copy(update={"port": 0}), stack.redis_url) as url:
        yield url


def last(page: Page) -> Locator:
    """The newest message."""
    return page.locator("#messages > li").last


async def ended(message: Locator, state: str = "done") -> None:
    """Wait for a message's answer to be final."""
    await expect(message).to_have_attribute("data-state", re.compile("done|failed|cancelled"), timeout=LONG_MS)
    await expect(message).to_have_attribute("data-state", state)


@pytest.mark.slow
async def test_photos_in_pictures_out(url: str, browser: Browser, tmp_path: Path) -> None:
    async with visit(browser, url) as page:
        await page.set_input_files("#files", SAMPLES)
        trained = await say(page, "/dreambooth train rex dog --steps 300")
        await expect(trained.locator(".phases .now")).to_have_text("Learning", timeout=LONG_MS)
        await expect(trained.get_by_role("img", name="Loss from")).to_be_visible()
        await expect(trained.locator(".grid.strip .tile").first).to_be_visible(timeout=LONG_MS)
        await shot(page, "journey-learning")

        await page.reload()  # in the middle of it
        await expect(trained.locator(".photos img")).to_have_count(len(SAMPLES))
        await ended(trained)
        await expect(trained.locator(".text")).to_contain_text("4 photos used. rex is ready.")
        await expect(trained.locator(".phases .past")).to_have_count(4)
        await expect(trained.locator(".tile")).to_have_count(4)
        await shot(page, "journey-ready")

        drawn = await say(page, "/imagine a [rex] dog on the moon --steps 3 --seed 7")
        await ended(drawn)
        await expect(drawn.locator(".tile")).to_have_count(4)
        await shot(page, "journey-pictures")
        await details_and_downloads(page, drawn, tmp_path)
        await again_and_variations(page, drawn)
        await deleting(page, drawn)


async def details_and_downloads(page: Page, drawn: Locator, folder: Path) -> None:
    """Everything that made the pictures is told, and they can be saved."""
    await drawn.get_by_role("button", name="Details").click()
    facts = dict(
        zip(await drawn.locator("dt").all_text_contents(), await drawn.locator("dd").all_text_contents(), strict=True)
    )
    assert facts["prompt"] == "a [rex] dog on the moon"
    assert facts["seeds"] == "7, 8, 9, 10"
    assert facts["steps"] == "3"
    assert re.fullmatch("[0-9a-f]{12}", facts["subject version"])
    await shot(page, "journey-details")
    await drawn.locator("summary").click()
    for name, size in (("All in one picture", 4), ("Picture 2 (seed 8)", 1)):
        async with page.expect_download() as saving:
            await drawn.get_by_role("link", name=name).click()
            await drawn.locator("summary").click()
        await (await saving.value).save_as(folder / "saved.png")
        assert (folder / "saved.png").read_bytes().startswith(b"\x89PNG"), size


async def again_and_variations(page: Page, drawn: Locator) -> None:
    """The same again has other seeds; variations of one picture start from its own."""
    await drawn.get_by_role("button", name="Again").click()
    await expect(last(page).locator(".said .line")).to_have_text(
        "Again: /imagine a [rex] dog on the moon --steps 3 --seed 7"
    )
    await ended(last(page))
    await last(page).locator(".tile").nth(2).click()
    viewer = page.get_by_role("dialog")
    seed = re.search(r"seed (\d+)", await viewer.inner_text())
    assert seed
    await viewer.get_by_role("button", name="Variations").click()
    await expect(last(page).locator(".said .line")).to_contain_text("Variations: ")
    await ended(last(page))
    await last(page).get_by_role("button", name="Details").click()
    await expect(last(page).locator("dl")).to_contain_text(f"vary seed{seed[1]}")


async def deleting(page: Page, drawn: Locator) -> None:
    """Deleted pictures leave the chat and the gallery."""
    await page.get_by_role("link", name="Gallery").click()
    tiles = page.locator(".wall .tile")
    await expect(tiles.nth(11)).to_be_visible()
    there = await tiles.count()  # other tests may have drawn here before
    await expect(page.get_by_text("dog, ready").first).to_be_visible()
    await shot(page, "journey-gallery")
    await page.get_by_role("link", name="Chat").click()
    await drawn.get_by_role("button", name="Delete all 4 pictures").click()
    await page.locator("#question").get_by_role("button", name="Delete all 4 pictures").click()
    await expect(last(page).locator(".text")).to_have_text("Deleted 4 pictures.")
    await expect(drawn).to_have_count(0)
    await page.get_by_role("link", name="Gallery").click()
    await expect(tiles).to_have_count(there - 4)


@pytest.mark.slow
async def test_a_running_training_is_cancelled(url: str, browser: Browser) -> None:
    async with visit(browser, url) as page:
        await page.set_input_files("#files", SAMPLES)
        trained = await say(page, "/dreambooth train doomed dog --steps 4000")
        await expect(trained.locator(".phases .now")).to_have_text("Learning", timeout=LONG_MS)
        await trained.get_by_role("button", name="Cancel").click()
        await expect(trained).to_have_attribute("data-state", "cancelled", timeout=LONG_MS)
        await page.get_by_role("link", name="Gallery").click()
        await expect(page.get_by_role("heading", name="doomed")).to_have_count(0)
