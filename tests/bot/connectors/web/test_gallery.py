"""The gallery of the local web chat, and what answers show of subjects: pictures, numbers, what was forgotten."""

import pytest
from playwright.async_api import Browser, Page, expect

from bot.core.chat_log import ChatLog, ChatMessage
from bot.core.messages import Reply
from storage.contract.subject_repository import Subjects
from storage.ids import new_id
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.support.web_chat import add_pictures, add_subject, chat, say, shot

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_gallery_shows_enlarges_and_deletes(
    settings: BotSettings, store: FolderStore, browser: Browser
) -> None:
    await add_subject(store)
    await add_pictures(store, "a [rex] dog on the moon", seeds=(1, 2, 3, 4))
    async with chat(settings, browser) as page:
        await page.get_by_role("link", name="Gallery").click()
        await expect(page.get_by_role("heading", name="rex")).to_be_visible()
        await expect(page.get_by_text("dog, ready")).to_be_visible()
        await expect(page.locator(".wall .tile")).to_have_count(4)
        await shot(page, "gallery-light")
        await page.locator(".wall .tile").nth(1).click()
        viewer = page.get_by_role("dialog")
        await expect(viewer).to_contain_text("seed 2 · 2 of 4")
        await page.keyboard.press("ArrowRight")
        await expect(viewer).to_contain_text("seed 3 · 3 of 4")
        size = await viewer.locator("img").evaluate("img => [img.clientWidth, getComputedStyle(img).imageRendering]")
        assert size[0] % 64 == 0
        assert size[1] == "pixelated"
        await shot(page, "viewer")
        async with page.expect_download() as saving:
            await viewer.get_by_role("link", name="Download").click()
        assert (await saving.value).suggested_filename == "a-rex-dog-on-the-moon-3.png"
        await viewer.get_by_role("button", name="Delete this picture").click()
        question = page.locator("#question")
        await expect(question).to_contain_text("Delete this picture for good?")
        await question.get_by_role("button", name="Delete this picture").click()
        await expect(page.locator(".wall .tile")).to_have_count(3)
        await page.locator(".wall .tile").nth(1).click()
        await expect(viewer).to_contain_text("seed 2 · 2 of 3")
        await viewer.get_by_role("button", name="Delete all 3 pictures").click()
        await expect(question).to_contain_text("Delete all 3 pictures for good?")
        await question.get_by_role("button", name="Delete all 3 pictures").click()
        await expect(page.locator(".wall .tile")).to_have_count(0)
    assert await store.names("jobs/") == []


CURVE = """async () => {
  const { lossCurve } = await import("/page/curve.js");
  const [figure, plain] = [lossCurve([0.5, 0.1, 0.3], [0.25, 0.2]), lossCurve([0.4, 0.4])];
  const points = (name) => figure.querySelector(name).getAttribute("points").split(" ");
  return [figure.querySelector("svg").getAttribute("aria-label"), figure.textContent, plain.textContent,
    points(".raw"), points(".trend").length];
}"""


async def test_the_loss_is_a_curve_and_says_what_is_held_back(page: Page) -> None:
    label, caption, plain, raw, smooth = await page.evaluate(CURVE)
    assert label == "Loss from 0.500 to 0.300" and plain == "loss 0.400"
    assert caption == "loss 0.300, validation 0.250"
    assert raw == ["3.0,3.0", "120.0,41.0", "237.0,22.0"] and smooth == 3  # of 240 by 44, the lowest at the bottom


async def test_show_tells_the_report_card_and_what_to_do(page: Page, store: FolderStore) -> None:
    rex = await add_subject(store)
    card = {"likeness": 0.3, "portrait": 0.4, "obedience": 1.0, "hijacked": 0.0, "pres": 0.2, "diversity": 0.9}
    await Subjects(store).change(rex.id, lambda s: s.model_copy(update={"metrics": card, "photos_differ": 1}))
    await say(page, "/dreambooth show rex")
    answer = page.locator(".answer .text")
    await expect(answer).to_contain_text("There is only one photo of it: add some from other sides.")
    await expect(answer).to_contain_text("It does not look much like the photos yet")


@pytest.mark.slow
async def test_a_button_opens_its_form_filled_in(settings: BotSettings, store: FolderStore, browser: Browser) -> None:
    await add_subject(store)
    async with chat(settings, browser) as page:
        await page.get_by_role("link", name="Gallery").click()
        await page.get_by_role("button", name="Imagine rex").click()
        sheet = page.locator("#sheet")
        prompt = sheet.get_by_label("Prompt")
        await expect(prompt).to_have_value("a [rex] dog in Paris")
        await prompt.fill("a [rex] dog on the moon")
        await shot(page, "form-from-button")
        await sheet.get_by_role("button", name="Draw").click()
        await expect(page.locator("#messages > li .said .line")).to_have_text("/imagine a [rex] dog on the moon")
        await page.get_by_role("link", name="Gallery").click()
        await page.get_by_role("button", name="Share rex").click()
        await sheet.get_by_label("With").select_option("private")
        await sheet.get_by_role("button", name="Share").click()
        said = page.locator("#messages > li").last.locator(".text")
        await expect(said).to_have_text("rex can now be drawn by you and nobody else.")


@pytest.mark.slow
async def test_what_is_far_back_comes_on_demand(settings: BotSettings, store: FolderStore, browser: Browser) -> None:
    log = ChatLog(store, "local")
    for number in range(65):
        await log.write(ChatMessage(id=new_id(), said=f"line {number}", reply=Reply(text=f"answer {number}")))
    jobs = [await add_pictures(store, f"dog {number}", seeds=(number,)) for number in range(26)]
    async with chat(settings, browser) as page:
        await expect(page.locator("#messages > li")).to_have_count(60)
        await expect(page.locator("#messages > li").last).to_be_in_viewport()
        await page.get_by_role("button", name="Show earlier messages").click()
        await expect(page.locator("#messages > li")).to_have_count(65)
        await expect(page.locator("#messages > li").first).to_contain_text("answer 0")
        await expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()
        await page.get_by_role("link", name="Gallery").click()
        await expect(page.locator(".wall .tile")).to_have_count(24)
        await page.get_by_role("button", name="Show older pictures").click()
        await expect(page.locator(".wall .tile")).to_have_count(len(jobs))
        await expect(page.locator(".wall .tile").last).to_have_attribute("title", "/imagine dog 0")


@pytest.mark.slow
async def test_what_is_forgotten_leaves_the_page(settings: BotSettings, store: FolderStore, browser: Browser) -> None:
    await add_subject(store)
    async with chat(settings, browser) as page:
        shown = await say(page, "/dreambooth show rex")
        await expect(shown.locator(".tile img")).to_be_visible()
        await shown.get_by_role("button", name="Forget").click()
        await expect(page.locator("#question")).to_contain_text("Forget rex?")
        await page.locator("#question").get_by_role("button", name="Keep").click()
        await expect(page.locator("#messages > li")).to_have_count(1)
        await shown.get_by_role("button", name="Forget").click()
        await page.locator("#question").get_by_role("button", name="Forget").click()
        await expect(page.locator("#messages > li").last).to_contain_text("Forgot rex")
        await expect(shown.locator(".tile")).to_have_count(0)
        await page.get_by_role("link", name="Gallery").click()
        await expect(page.get_by_text("None yet. Drop a few photos")).to_be_visible()
