"""Buttons of the local web chat whose work fails: that is seen beside them, heard, and they can be pressed again."""

import pytest
from playwright.async_api import Browser, Page, Route, expect

from bot.connectors.web.connector import opened
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.support.quick import slow_but
from tests.support.web_chat import add_pictures, add_subject, chat, no_sideways, say, shot, visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

AWAY = "Darkroom does not answer. Is it still running?"
REFUSALS = [
    (403, "text/plain", "This chat answers only its own page, not other sites."),
    (413, "application/json", '{"error": "That is too much at once: the limit is 60 MB."}'),
    (500, "text/plain", "500 Internal Server Error\n\nServer got itself in trouble"),
    (502, "text/html", "<h1>Bad gateway</h1>"),
]
SENTENCES = [
    "This chat answers only its own page, not other sites.",
    "That is too much at once: the limit is 60 MB.",
    "This did not work (error 500). Please try again.",
    "This did not work (error 502). Please try again.",
]


async def refuse(page: Page, number: int) -> None:
    """Have whatever the page sends answered with a refusal, as the guard, the server or a proxy would."""
    status, content_type, body = REFUSALS[number]

    async def answer(route: Route) -> None:
        if route.request.method == "POST":
            await route.fulfill(status=status, content_type=content_type, body=body)
        else:
            await route.continue_()

    await page.route("**/messages", answer)


@pytest.mark.parametrize("number", slow_but(range(len(REFUSALS)), 1))
async def test_a_refusal_is_said_beside_the_button(
    settings: BotSettings, store: FolderStore, browser: Browser, number: int
) -> None:
    await add_subject(store)
    async with chat(settings, browser) as page:
        message = await say(page, "/dreambooth list")
        await refuse(page, number)
        show = message.get_by_role("button", name="rex", exact=True)
        for _ in range(2):
            await show.click()
            await expect(message.get_by_role("alert")).to_have_text(SENTENCES[number])
            await expect(message.get_by_role("alert")).to_be_in_viewport()
        await shot(page, f"refused-{REFUSALS[number][0]}")
        await page.unroute("**/messages")
        await show.click()
        await expect(page.locator("#messages > li")).to_have_count(2)
        await expect(message.get_by_role("alert")).to_have_count(0)


@pytest.mark.slow
async def test_a_server_that_is_away_is_said_at_every_kind_of_button(
    settings: BotSettings, store: FolderStore, browser: Browser
) -> None:
    await add_subject(store)
    await add_pictures(store, "a [rex] dog")
    async with opened(settings, settings.redis_url) as url:
        fixed = settings.model_copy(update={"port": int(url.rpartition(":")[2])})
    async with visit(browser, "about:blank") as page:
        async with opened(fixed, settings.redis_url) as url:
            await page.goto(url)
            message = await say(page, "/dreambooth list")
            await page.get_by_role("link", name="Gallery").click()
            await expect(page.locator(".wall .tile")).to_have_count(2)
        subject, viewer, sheet = page.locator(".subject"), page.locator("#viewer"), page.locator("#sheet")
        await subject.get_by_role("button", name="Imagine").click()
        await expect(subject.get_by_role("alert")).to_have_text(AWAY)
        await page.locator(".wall .tile").first.click()
        await viewer.get_by_role("button", name="Again").click()
        await expect(viewer.get_by_role("alert")).to_have_text(AWAY)
        await shot(page, "away-viewer")
        await viewer.get_by_role("button", name="Close").click()
        await page.get_by_role("link", name="Chat").click()
        await message.get_by_role("button", name="rex", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(message.get_by_role("alert")).to_have_text(AWAY)
        await expect(message.get_by_role("button", name="rex", exact=True)).to_be_focused()
        await page.locator("#chips").get_by_role("button", name="Imagine").click()
        await sheet.get_by_label("Prompt").fill("a dog")
        await sheet.locator("menu .primary").click()
        await expect(sheet.get_by_role("alert")).to_have_text(AWAY)
        await expect(sheet.get_by_role("alert")).to_be_in_viewport()
        await shot(page, "away-form")
        async with opened(fixed, settings.redis_url):
            await sheet.locator("menu .primary").click()
            await expect(page.locator("#messages > li")).to_have_count(2)
            await message.get_by_role("button", name="rex", exact=True).click()
            await expect(page.locator("#messages > li")).to_have_count(3)


@pytest.mark.slow
@pytest.mark.parametrize("width_px", slow_but([320, 390, 1100], 320, 1100))
async def test_chips_keep_their_words_and_more_opens_at_its_button(
    settings: BotSettings, store: FolderStore, browser: Browser, width_px: int
) -> None:
    for name in ("rex", "mia"):
        await add_subject(store, name=name)
    async with chat(settings, browser) as page:
        await page.set_viewport_size({"width": width_px, "height": 800})
        chips = page.locator("#chips > button, #chips summary")
        assert await chips.all_text_contents() == ["Imagine", "Train", "Retrain", "Together", "More"]
        for chip in await chips.all():
            await expect(chip).to_be_in_viewport(ratio=1)
            assert await chip.evaluate("node => node.getClientRects().length === 1 && node.clientHeight < 40")
        more, menu = page.locator("#chips summary"), page.locator("#chips .menu ul")
        await more.click()
        await expect(menu).to_be_in_viewport(ratio=1)
        button, box = await more.bounding_box(), await menu.bounding_box()
        assert button and box
        assert 0 <= button["y"] - (box["y"] + box["height"]) < 16  # right above it
        assert box["x"] <= button["x"] < box["x"] + box["width"]
        await no_sideways(page)
        await shot(page, f"chips-{width_px}")


@pytest.mark.slow
async def test_chips_for_subjects_come_with_the_subjects(
    settings: BotSettings, store: FolderStore, browser: Browser
) -> None:
    async with chat(settings, browser) as page:
        chips, menu = page.locator("#chips > button"), page.locator("#chips .menu li button")
        await expect(chips).to_have_text(["Imagine", "Train", "Ask"])
        documents = ["Add documents", "List documents", "Remove documents"]
        assert await menu.all_text_contents() == ["List", "Forget-me", *documents, "Cancel", "Jobs", "Status", "Help"]
        await add_subject(store)
        await say(page, "/help")
        await expect(chips).to_have_text(["Imagine", "Train", "Retrain", "Ask"])
        await expect(menu.get_by_text("Show")).to_have_count(1)
        await add_subject(store, name="mia")
        await say(page, "/help")
        await expect(chips).to_have_text(["Imagine", "Train", "Retrain", "Together"])
