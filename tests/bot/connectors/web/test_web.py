"""The local web chat in a real Chromium, without a worker: what it offers, refuses, remembers and looks like."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from bot.arguments.arguments import ImagineArguments, TrainArguments
from bot.arguments.forms import fields
from bot.connectors.web.connector import opened
from bot.core.chat_log import ChatLog, ChatMessage
from bot.core.messages import Reply
from storage.contract.subject_repository import Subjects
from storage.ids import new_id
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.support.photo_files import saved, scene
from tests.support.web_chat import (
    PHONE,
    add_pictures,
    add_subject,
    chat,
    files,
    no_sideways,
    say,
    shot,
    visit,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


@pytest_asyncio.fixture(loop_scope="module")
async def page(settings: BotSettings, browser: Browser) -> AsyncIterator[Page]:
    async with chat(settings, browser) as page:
        yield page


async def test_a_newcomer_sees_what_to_do(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Show it once. See it anywhere.")).to_be_visible()
    await expect(page.get_by_role("button", name="Drop three to six photos here")).to_be_visible()
    assert await page.title() == "Darkroom"
    await no_sideways(page)
    await shot(page, "welcome-light")


@pytest.mark.parametrize(("label", "arguments"), [("Imagine", ImagineArguments), ("Train", TrainArguments)])
async def test_forms_come_from_the_arguments(page: Page, label: str, arguments: Any) -> None:
    await page.locator("#chips").get_by_role("button", name=label, exact=True).click()
    sheet = page.get_by_role("dialog")
    await sheet.get_by_text("Options").click()
    for field in fields(arguments):
        control = sheet.locator(f"[name={field.name}]")
        await expect(control).to_be_visible()
        await expect(sheet.get_by_text(field.meaning)).to_be_visible()
        limits = {"min": field.minimum, "max": field.maximum, "maxlength": field.longest}
        for name, limit in limits.items():
            if limit is not None:
                assert float(await control.get_attribute(name) or "nan") == limit
        assert await control.input_value() == field.default
        none = [""] if field.choices and not (field.required or field.default) else []
        assert await control.locator("option").all_text_contents() == [*none, *field.choices]
    await shot(page, f"form-{label.lower()}")


async def test_a_form_sends_its_command(page: Page, store: FolderStore) -> None:
    await page.locator("#chips").get_by_role("button", name="Imagine").click()
    sheet = page.get_by_role("dialog")
    await sheet.get_by_label("Prompt").fill("a dog in the snow")
    await sheet.get_by_text("Options").click()
    await sheet.get_by_label("Count").fill("2")
    await sheet.get_by_label("Scheduler").select_option("euler")
    await sheet.get_by_role("button", name="Draw").click()
    await expect(page.locator(".said .line")).to_have_text("/imagine a dog in the snow --count 2 --scheduler euler")
    await expect(page.locator(".answer .text")).to_contain_text("Waiting")
    (name,) = [name for name in await store.names("jobs/") if name.endswith("job.json")]
    job = json.loads((await store.get(name)).data)
    assert (job["prompt"], job["count"], job["scheduler"]) == ("a dog in the snow", 2, "euler")


async def test_lines_are_completed_by_keyboard(page: Page, store: FolderStore) -> None:
    await add_subject(store)
    line, options = page.locator("#line"), page.locator("#options [role=option]")
    await line.press_sequentially("/im")
    await expect(options).to_have_text(["/imagineDraw pictures; [name] stands for a subject."])
    await line.press("Tab")
    await expect(line).to_have_value("/imagine ")
    await line.press_sequentially("a [r")
    await expect(options).to_have_text(["[rex]"])
    await line.press("Enter")
    await line.press_sequentially(" dog --s")
    await expect(options).to_have_count(5)
    await line.press("ArrowDown")
    await line.press("ArrowDown")
    await line.press("ArrowDown")
    await expect(line).to_have_attribute("aria-activedescendant", "options-3")
    await shot(page, "completion")
    await line.press("Enter")
    await expect(options).to_have_text(["ddim", "pndm", "euler", "euler-a", "dpm++2m"])
    await page.route("**/completions?*", lambda _: None)  # answers that are slow in coming
    await line.press_sequentially("euler-")
    await line.press("Tab")
    await expect(line).to_have_value("/imagine a [rex] dog --scheduler euler-a")
    await page.unroute("**/completions?*")
    await line.press_sequentially(" --c")
    await expect(options).to_have_count(1)
    await line.press("Escape")
    await expect(page.locator("#options")).to_be_hidden()
    await line.fill("/help")
    await line.press("Enter")
    await expect(page.locator("#messages .facts dt").first).to_have_text("/imagine PROMPT [--option value …]")
    await line.press("ArrowUp")
    await expect(line).to_have_value("/help")


BAD = [
    ("/dreambooth train rex dog", 0, "Add a few photos"),
    ("/dreambooth train rex dog", 40, "That is 40 photos; 20 is the most."),
    ("/dreambooth train a/b dog", 1, "letters, digits, - and _ only"),
    ("/dreambooth train 🐶 dog", 1, "letters, digits, - and _ only"),
    (f"/dreambooth train {'x' * 300} dog", 1, "at most 32 characters, this one has 300"),
    ("/dreambooth train taken dog", 1, "already a subject called taken"),
    ("/dreambooth train rex", 1, "Please give a class"),
    ("/dreambooth", 0, "no command /dreambooth"),
    ("/Hello?", 0, "no command /Hello?"),
    ("jobs", 0, "Did you mean the command /jobs?"),
    (f"/imagine {'x' * 10_000}", 0, "at most 1000 characters, this one has 10,000"),
    ("/imagine [V]", 0, "Say more than [taken]"),
    ("/imagine a [takn] dog", 0, "Did you mean taken?"),
    ("/imagine a dog --count 0", 0, "Count must be at least 1, not 0."),
    ("/imagine a dog --steps 100000", 0, "Steps must be at most 150, not 100000."),
    (f"/imagine a dog --seed {2**70}", 0, "Seed must be at most 4,294,967,295"),
    ("/dreambooth cancel 123456", 0, "There is no job 123456"),
]


async def test_bad_input_gets_its_sentence_and_leaves_nothing(page: Page, store: FolderStore) -> None:
    await add_subject(store, name="taken")
    before = await store.names("jobs/") + await store.names("subjects/") + await store.names("names/")
    for line, photos, sentence in BAD:
        await page.set_input_files("#files", files(photos, side_px=64))
        message = await say(page, line)
        await expect(message.locator(".text")).to_contain_text(sentence)
        await expect(message).to_have_attribute("data-state", "failed")
        await expect(page.locator(".box .tray li")).to_have_count(photos)  # given back, to be mended
        assert line.startswith(await page.locator("#line").input_value())
        await page.evaluate("document.querySelectorAll('.box .tray button').forEach((remove) => remove.click())")
    await page.set_input_files("#files", [{"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"Dear diary"}])
    message = await say(page, "/dreambooth train rex dog")
    await expect(message.locator(".text")).to_contain_text("notes.jpg")
    await expect(message.locator(".text")).to_contain_text("Nothing was trained")
    assert before == await store.names("jobs/") + await store.names("subjects/") + await store.names("names/")
    await shot(page, "bad-input")


async def test_photos_that_cannot_be_used_are_asked_about(page: Page, store: FolderStore) -> None:
    notes = {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"Dear diary"}
    await page.set_input_files("#files", [*files(2), notes])
    question = await say(page, "/dreambooth train rex dog")
    await expect(question.locator(".text")).to_have_text("2 of 3 photos can be used. How shall I go on with rex?")
    await expect(question.locator(".facts")).to_contain_text("notes.jpg")
    await expect(question.locator(".photos img")).to_have_count(2)
    await shot(page, "question")
    await question.get_by_role("button", name="Add photos").click()
    sheet = page.get_by_role("dialog")
    await page.set_input_files("#files", [files(3)[2], notes])
    await sheet.get_by_role("button", name="Add photos").click()
    again = page.locator("#messages > li").last
    await expect(again.locator(".text")).to_contain_text("3 of 4 photos can be used.")
    await expect(page.locator("#messages > li")).to_have_count(1)  # it took the place of the first
    await again.get_by_role("button", name="Train", exact=True).click()
    await expect(again.locator(".text")).to_contain_text("3 photos used. Waiting")
    await expect(page.locator("#messages > li")).to_have_count(1)
    await expect(again.locator(".line")).to_have_text("/dreambooth train rex dog")
    await expect(again.locator(".photos img")).to_have_count(3)
    assert not await store.names("drafts/")


async def test_forgetting_is_asked_about_when_typed(page: Page, store: FolderStore) -> None:
    await add_subject(store)
    question = await say(page, "/dreambooth forget rex")
    await expect(question.locator(".text")).to_contain_text("deleted for good")
    await question.get_by_role("button", name="Forget").click()
    await expect(page.locator("#messages .text").last).to_contain_text("Forgot rex")
    await expect(page.locator("#messages > li")).to_have_count(1)


async def test_what_people_type_stays_text(page: Page) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    await page.set_input_files("#files", [{"name": f"{nasty}.png", "mimeType": "image/png", "buffer": b"no"}])
    message = await say(page, f"/imagine {nasty} --steps {nasty}")
    await expect(message.locator(".said .line")).to_have_text(f"/imagine {nasty} --steps {nasty}")
    await expect(message.locator(".photos")).to_contain_text("onerror=alert")
    assert await page.locator("img[src='x']").count() == 0


async def test_photos_are_dropped_pasted_picked_and_removed(page: Page) -> None:
    tray = page.locator(".box .tray li")
    transfer = await page.evaluate_handle(
        """([...bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            return transfer;
        }""",
        list(saved(scene(64, 64, 1))),
    )
    await page.dispatch_event("main", "dragover", {"dataTransfer": transfer})
    await expect(page.get_by_text("Drop the photos")).to_be_visible()
    await page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    await expect(page.get_by_text("Drop the photos")).to_be_hidden()
    await expect(tray.get_by_alt_text("dropped.png")).to_be_visible()
    await expect(page.locator("#naming").get_by_label("Name")).to_be_focused()
    await expect(page.locator("#line")).to_have_value("")

    await page.evaluate(
        """(clipboardData) => document.querySelector("#line")
            .dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }))""",
        transfer,
    )
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Add photos").click()
    heic = {"name": "IMG_0815.heic", "mimeType": "image/heic", "buffer": saved(scene(64, 64, 2), "HEIF")}
    await (await chooser.value).set_files([*files(2), heic])
    await expect(tray).to_have_count(5)
    await expect(tray.last).to_contain_text("IMG_0815.heic")  # no browser shows it, so its name stands for it
    await shot(page, "thumbnails")

    await page.get_by_role("button", name="Remove IMG_1.png").focus()
    await page.keyboard.press("Enter")
    await expect(tray).to_have_count(4)
    await page.keyboard.press("Enter")  # the focus stays in the tray
    await expect(tray).to_have_count(3)


async def test_a_plain_sentence_is_drawn(page: Page, store: FolderStore) -> None:
    await add_subject(store)
    line = page.locator("#line")
    await line.press_sequentially("a [re")
    await expect(page.locator("#options [role=option]")).to_contain_text(["rex"])
    await line.press("Tab")
    await line.press_sequentially(" dog in Paris --count 2")
    await expect(page.locator("#hint")).to_have_text("Enter draws this. A / begins a command.")
    await line.press("Enter")
    message = page.locator("#messages > li").last
    await expect(message.locator(".text")).to_contain_text("Waiting")
    await expect(message.locator(".said .line")).to_have_text("a [rex] dog in Paris --count 2")
    (name,) = [name for name in await store.names("jobs/") if name.endswith("job.json")]
    job = json.loads((await store.get(name)).data)
    assert (job["prompt"], job["count"]) == ("a [rex] dog in Paris", 2)


async def test_photos_are_named_under_their_thumbnails(page: Page, store: FolderStore) -> None:
    await add_subject(store, name="taken")
    naming, tray = page.locator("#naming"), page.locator(".box .tray li")
    await expect(naming).to_be_hidden()
    await page.set_input_files("#files", files(3))
    await expect(naming.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("taken")
    await page.keyboard.press("Enter")
    assert await naming.get_by_label("Kind").evaluate("field => field.validity.valueMissing && field.matches(':focus')")
    await page.keyboard.type("dog")
    await shot(page, "naming")
    await naming.get_by_role("button", name="Train").click()
    message = page.locator("#messages > li")
    await expect(message.locator(".text")).to_contain_text("already a subject called taken")
    await expect(tray).to_have_count(3)  # all of it came back, to be mended
    await expect(naming.get_by_label("Kind")).to_have_value("dog")
    await expect(page.locator("#line")).to_have_value("")
    await naming.get_by_label("Name").fill("rex")
    await page.keyboard.press("Enter")
    await expect(message.last.locator(".said .line")).to_have_text("/dreambooth train rex dog")
    await expect(message.last.locator(".text")).to_contain_text("3 photos used. Waiting")
    await expect(naming).to_be_hidden()


OPEN_ADDRESSES = """() => {
  const { createObjectURL, revokeObjectURL } = URL;
  window.open_addresses = new Set();
  URL.createObjectURL = (file) => { const url = createObjectURL(file); open_addresses.add(url); return url; };
  URL.revokeObjectURL = (url) => { open_addresses.delete(url); revokeObjectURL(url); };
}"""


async def test_addresses_of_sent_photos_are_let_go_of(page: Page) -> None:
    await page.evaluate(OPEN_ADDRESSES)
    await page.set_input_files("#files", files(3))
    assert await page.evaluate("open_addresses.size") == 3
    await say(page, "/dreambooth train rex dog")
    message = page.locator("#messages > li")
    await expect(message.locator(".text")).to_contain_text("3 photos used. Waiting")
    await expect(message.locator(".photos img")).to_have_count(3)
    await page.wait_for_function("open_addresses.size === 0")
    await message.get_by_role("button", name="Cancel").click()
    await expect(message.first).to_have_attribute("data-state", "cancelled")


async def test_a_training_has_options_besides_its_names(page: Page) -> None:
    naming, sheet = page.locator("#naming"), page.locator("#sheet")
    await page.set_input_files("#files", files(3))
    await naming.get_by_label("Name").fill("rex")
    await naming.get_by_role("button", name="Options").click()
    await expect(sheet.locator(".tray li")).to_have_count(3)
    await expect(sheet.get_by_label("Name")).to_have_value("rex")
    await sheet.get_by_label("Class", exact=True).fill("dog")
    await sheet.get_by_text("Options").click()
    await sheet.get_by_label("Steps").fill("7")
    await sheet.get_by_role("button", name="Train").click()
    await expect(page.locator(".said .line")).to_have_text("/dreambooth train rex dog --steps 7")
    await expect(naming).to_be_hidden()


async def test_a_queued_job_is_followed_and_cancelled(page: Page) -> None:
    message = await say(page, "/imagine a dog")
    await expect(message.locator(".text")).to_have_text("Waiting: no worker is running at the moment.")
    await expect(message.locator("progress")).to_be_visible()
    await shot(page, "queued")
    await message.get_by_role("button", name="Cancel").click()
    await expect(message).to_have_attribute("data-state", "cancelled")
    await expect(message.locator(".text")).to_have_text("Cancelled before it started.")
    await expect(message.locator("progress")).to_have_count(0)


async def test_a_reload_and_a_restart_lose_nothing(settings: BotSettings, browser: Browser) -> None:
    async with opened(settings, settings.redis_url) as url:
        fixed = settings.model_copy(update={"port": int(url.rpartition(":")[2])})
        async with visit(browser, url) as page:
            await page.set_input_files("#files", files(3))
            trained = await say(page, "/dreambooth train rex dog")
            await expect(trained.locator(".text")).to_contain_text("3 photos used. Waiting")
            await say(page, "/help")
            await page.reload()
            await expect(page.locator("#messages > li")).to_have_count(2)
            await expect(page.locator(".photos img")).to_have_count(3)
            await shot(page, "queued-training")
    async with visit(browser, "about:blank") as page:
        async with opened(fixed, settings.redis_url) as url:
            await page.goto(url)
            first = page.locator("#messages > li").first
            await expect(first.locator(".text")).to_contain_text("3 photos used. Waiting")
            await expect(first.locator(".phases .past")).to_have_text(["Photos checked"])
        await expect(page.get_by_text("The connection is lost.")).to_be_visible()
        async with opened(fixed, settings.redis_url):
            await expect(page.get_by_text("The connection is lost.")).to_be_hidden()
            await first.get_by_role("button", name="Cancel").click()
            await expect(first).to_have_attribute("data-state", "cancelled")
            await expect(page.locator("#messages > li")).to_have_count(3)


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
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
