"""How the local web chat looks and is reached: by keyboard, on a phone, in the dark, without motion."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.support.quick import slow_but
from tests.support.web_chat import PHONE, add_pictures, add_subject, chat, no_sideways, say, shot

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTRAST = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const probe = document.body.appendChild(document.createElement("i"));
  const value = (name) => {
    probe.style.color = `var(${name})`;
    return light(getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number));
  };
  const pairs = [["--ink", "--paper"], ["--ink", "--sunk"], ["--soft", "--paper"], ["--soft", "--card"],
    ["--soft", "--sunk"], ["--accent", "--paper"], ["--accent", "--card"], ["--on-accent", "--accent"]];
  const ratios = pairs.map((names) => {
    const [dark, bright] = names.map(value).sort((x, y) => x - y);
    return (bright + 0.05) / (dark + 0.05);
  });
  probe.remove();
  return Math.min(...ratios);
}"""


async def test_a_newcomer_sees_what_to_do(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Show it once. See it anywhere.")).to_be_visible()
    await expect(page.get_by_role("button", name="Drop three to six photos here")).to_be_visible()
    assert await page.title() == "Darkroom"
    await no_sideways(page)
    await shot(page, "welcome-light")


async def test_the_keyboard_reaches_everything(page: Page) -> None:
    reached = []
    for _ in range(9):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        reached.append(await focused.get_attribute("aria-label") or (await focused.inner_text()).split("\n")[0])
        outline = await focused.evaluate("node => getComputedStyle(node).outlineStyle")
        assert outline == "solid" or reached[-1] == "Prompt or command"  # the box around the line shows that one
    assert reached[:3] == ["Skip to where you type", "Chat", "Gallery"]
    assert reached[3].startswith("Drop three to six photos")
    assert reached[4:] == ["Add photos", "Prompt or command", "Send", "Imagine", "Train"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", slow_but(["light", "dark"], "dark"))
async def test_a_phone_needs_no_sideways_scrolling(
    settings: BotSettings, store: FolderStore, browser: Browser, scheme: Any
) -> None:
    await add_subject(store, name="a" * 32)
    await add_pictures(store, "a dog")
    async with chat(settings, browser, color_scheme=scheme) as page:
        await page.set_viewport_size(PHONE)
        await no_sideways(page)
        await shot(page, f"phone-welcome-{scheme}")
        for line in ("/help", f"/imagine {'x' * 300}", "/dreambooth list", "/jobs"):
            await say(page, line)
            await no_sideways(page)
        await shot(page, f"phone-messages-{scheme}")
        await page.locator("#chips").get_by_text("More").click()
        await no_sideways(page)
        await page.keyboard.press("Escape")
        for label in ("Imagine", "Train"):
            await page.locator("#chips").get_by_role("button", name=label, exact=True).click()
            await no_sideways(page)
            await shot(page, f"phone-form-{label.lower()}-{scheme}")
            await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Gallery").click()
        await expect(page.locator(".wall .tile").first).to_be_visible()
        await no_sideways(page)
        await shot(page, f"phone-gallery-{scheme}")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(settings: BotSettings, browser: Browser, scheme: Any) -> None:
    async with chat(settings, browser, color_scheme=scheme) as page:
        assert await page.evaluate(CONTRAST) >= 4.5
        await shot(page, f"welcome-{scheme}")


async def test_motion_stops_for_those_who_ask(settings: BotSettings, browser: Browser) -> None:
    async with chat(settings, browser, reduced_motion="reduce") as page:
        await say(page, "/imagine a dog")
        await expect(page.locator("progress")).to_be_visible()
        moving = "[...document.querySelectorAll('*')].flatMap((node) => node.getAnimations()).length"
        assert await page.evaluate(moving) == 0
