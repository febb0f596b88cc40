"""Small things of the local web chat's page, each as a person would expect it."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect

from bot.core.chat_log import ChatLog, ChatMessage
from bot.core.messages import Reply
from storage.contract.subject_repository import Subjects
from storage.ids import new_id
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.support.quick import slow_but
from tests.support.web_chat import add_pictures, add_subject, chat, files, say, shot

pytestmark = pytest.mark.asyncio(loop_scope="session")
CONTRAST = """node => {
  const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
  const [own, around] = [node, node.parentElement].map((one) => getComputedStyle(one));
  const [tab, bar, text] = [own.backgroundColor, around.backgroundColor, own.color].map(light);
  const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  return [ratio(tab, text), ratio(tab, bar)];
}"""


@pytest.mark.parametrize("scheme", slow_but(["light", "dark"], "light"))
async def test_a_first_visit_begins_with_the_headline(settings: BotSettings, browser: Browser, scheme: Any) -> None:
    for size in ({"width": 390, "height": 700}, {"width": 1100, "height": 600}):
        async with chat(settings, browser, color_scheme=scheme) as page:
            await page.set_viewport_size(size)  # type: ignore[arg-type]
            await page.reload()
            await expect(page.locator("#chips button").first).to_be_visible()
            await expect(page.locator(".welcome h2")).to_be_in_viewport(ratio=1)
            assert await page.evaluate("scrollY") == 0
            await shot(page, f"first-visit-{size['width']}-{scheme}")


async def test_the_chosen_tab_stands_out(settings: BotSettings, browser: Browser) -> None:
    async with chat(settings, browser, color_scheme="dark") as page:
        text, bar = await page.locator("nav a[aria-current]").evaluate(CONTRAST)
        assert text >= 4.5 and bar >= 1.5


@pytest.mark.slow
async def test_lines_come_back_with_the_arrow_keys_also_after_a_reload(settings: BotSettings, browser: Browser) -> None:
    async with chat(settings, browser) as page:
        for line in ("/help", "/jobs", "/help"):
            await say(page, line)
        await page.reload()
        await expect(page.locator("#messages > li")).to_have_count(3)
        field = page.locator("#line")
        for key, value in (("Up", "/help"), ("Up", "/jobs"), ("Up", "/help"), ("Up", "/help"), ("Down", "/jobs")):
            await field.press(f"Arrow{key}")
            await expect(field).to_have_value(value)
        for value in ("/help", ""):
            await field.press("ArrowDown")
            await expect(field).to_have_value(value)
        await field.fill("mine")
        await field.press("ArrowUp")
        await expect(field).to_have_value("mine")


@pytest.mark.slow
async def test_edit_prompt_ends_in_a_button_that_says_draw(
    settings: BotSettings, store: FolderStore, browser: Browser
) -> None:
    await add_pictures(store, "a dog")
    async with chat(settings, browser) as page:
        await page.get_by_role("link", name="Gallery").click()
        await page.locator(".wall .tile").first.click()
        await page.locator("#viewer").get_by_role("button", name="Edit prompt").click()
        sheet = page.locator("#sheet")
        await expect(sheet.get_by_role("heading", name="Edit prompt")).to_be_visible()
        assert await sheet.locator("menu button").all_text_contents() == ["Cancel", "Draw"]
        await sheet.get_by_text("Options").click()
        await expect(sheet.get_by_label("Aspect").locator("option").first).to_have_text("")
        offered = await sheet.locator("#list-size option").evaluate_all("all => all.map((one) => one.value)")
        assert {"512", "768x512"} <= set(offered)
        await sheet.get_by_label("Aspect").scroll_into_view_if_needed()
        await shot(page, "form-edit-prompt")


@pytest.mark.slow
async def test_show_folds_its_numbers(settings: BotSettings, store: FolderStore, browser: Browser) -> None:
    rex = await add_subject(store)
    await Subjects(store).change(rex.id, lambda s: s.model_copy(update={"recipe": {"steps": 400, "batch": 2}}))
    facts = {f"fact {number}": "1" for number in range(30)}
    log, message = ChatLog(store, "local"), new_id()
    reply = Reply(text="rex, a dog: write [rex] in a prompt.", facts=facts)
    await log.write(ChatMessage(id=message, said="/dreambooth show rex", command="dreambooth show", reply=reply))
    async with chat(settings, browser) as page:
        shown = page.locator(f"#m{message}")
        await expect(shown.locator("dt:visible")).to_have_count(4)
        await shown.get_by_text("26 more details").click()
        await expect(shown.locator("dt:visible")).to_have_count(30)
        listed = await say(page, "/help")
        await expect(listed.locator("dt:visible").nth(10)).to_be_visible()


async def test_sent_photos_are_seen_at_once(settings: BotSettings, browser: Browser) -> None:
    async with chat(settings, browser) as page:
        await page.set_input_files("#files", files(3))
        message = await say(page, "/dreambooth train rex")  # refused, so the server keeps none
        await expect(message.locator(".text")).to_contain_text("class")
        photos = message.locator(".photos img")
        await expect(photos).to_have_count(3)
        assert await photos.evaluate_all("all => all.every((img) => img.complete && img.naturalWidth > 0)")


async def test_the_title_tells_of_work(settings: BotSettings, browser: Browser) -> None:
    async with chat(settings, browser) as page:
        await expect(page).to_have_title("Darkroom")
        message = await say(page, "/imagine a dog")
        await expect(page).to_have_title("Waiting · Darkroom")
        await message.get_by_role("button", name="Cancel").click()
        await expect(page).to_have_title("Darkroom")


@pytest.mark.slow
async def test_the_gallery_is_updated_and_not_rebuilt(
    settings: BotSettings, store: FolderStore, browser: Browser
) -> None:
    await add_pictures(store, "a dog", side_px=600)
    async with chat(settings, browser) as page:
        await page.get_by_role("link", name="Gallery").click()
        tiles = page.locator(".wall .tile")
        await expect(tiles).to_have_count(2)
        for source in await tiles.locator("img").evaluate_all("all => all.map((img) => img.getAttribute('src'))"):
            assert source.startswith("/thumbnails/jobs/")
        await expect(tiles.first.locator("img")).to_have_js_property("naturalWidth", 384)
        await tiles.first.evaluate("node => { node.known = true; node.focus(); }")
        await add_pictures(store, "a cat", seeds=(9,))
        await page.evaluate("import('/page/gallery.js').then((gallery) => gallery.showGallery())")
        await expect(tiles).to_have_count(3)
        assert await tiles.evaluate_all("all => all.map((node) => Boolean(node.known))") == [False, True, False]
        await expect(tiles.nth(1)).to_be_focused()
