"""Photos in the local web chat: dropped, pasted, picked, named, asked about, and let go of."""

import pytest
from playwright.async_api import Page, expect

from storage.objects.folder import FolderStore
from tests.support.photo_files import saved, scene
from tests.support.web_chat import add_subject, files, say, shot

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
