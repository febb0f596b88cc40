"""The local web chat in a real Chromium, without a worker: its forms and lines, what it refuses and remembers."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from bot.arguments.arguments import ImagineArguments, TrainArguments
from bot.arguments.forms import fields
from bot.connectors.web.connector import opened
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.support.quick import some_of
from tests.support.web_chat import add_subject, files, say, shot, visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
    await sheet.get_by_label("Quality").select_option("final")
    await sheet.get_by_label("Scheduler").select_option("euler")
    await sheet.get_by_role("button", name="Draw").click()
    line = "/imagine a dog in the snow --count 2 --quality final --scheduler euler"
    await expect(page.locator(".said .line")).to_have_text(line)
    await expect(page.locator(".answer .text")).to_contain_text("Waiting")
    (name,) = [name for name in await store.names("jobs/") if name.endswith("job.json")]
    job = json.loads((await store.get(name)).data)
    assert (job["prompt"], job["count"], job["scheduler"], job["quality"]) == ("a dog in the snow", 2, "euler", "final")


@pytest.mark.slow
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
    ("/dreambooth train rex dog", 40, "That is 40 photos; the limit is 20."),
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


@pytest.mark.slow
async def test_bad_input_gets_its_sentence_and_leaves_nothing(page: Page, store: FolderStore) -> None:
    await add_subject(store, name="taken")
    before = await store.names("jobs/") + await store.names("subjects/") + await store.names("names/")
    for line, photos, sentence in some_of(BAD, 6):  # the sentences themselves: bot/commands, bot/arguments
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
