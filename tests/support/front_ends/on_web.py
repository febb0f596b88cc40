"""The page, in a real Chromium."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

from playwright.async_api import Locator, Page, expect

from bot.arguments.parser import typed
from bot.commands.registry import COMMANDS
from bot.connectors.web.connector import opened
from bot.photos.uploads import Upload
from tests.conftest import Stack
from tests.support import web_chat
from tests.support.front_ends import ADA, Front, Shown

LOOK = """() => [...document.querySelectorAll("#messages > li")].map((message) => {
  const answer = message.querySelector(".answer");
  const buttons = [...answer.querySelectorAll(".buttons > button, summary")];
  return {
    id: message.id, text: answer.innerText, labels: buttons.map((button) => button.innerText),
    alts: [...answer.querySelectorAll(".tile img")].map((picture) => picture.alt),
    rings: [...answer.querySelectorAll(".text *")].filter((part) => part.tagName !== "P").map((part) => part.outerHTML),
  };
})"""  # whatever is in a sentence but words was not meant to be there


class OnWeb(Front):
    """The page of one machine."""

    space, alone = "local", True

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page

    async def _give(self, command: str, who: str, photos: Sequence[Upload], options: dict[str, Any]) -> None:
        """Type a line, with these photos and no others in the tray."""
        await self.page.evaluate("document.querySelectorAll('.box .tray button').forEach((remove) => remove.click())")
        files = [{"name": photo.name, "mimeType": "image/png", "buffer": photo.data} for photo in photos]
        await self.page.set_input_files("#files", files)  # type: ignore[arg-type]
        values = {name: str(value) for name, value in options.items()}
        await self.page.fill("#line", typed(command, values, COMMANDS[command].arguments))
        async with self.page.expect_response("**/messages"):
            await self.page.get_by_role("button", name="Send").click()

    async def _push(self, message: Shown, label: str, who: str) -> None:
        """Press a button."""
        await self._message(message).get_by_role("button", name=label, exact=True).click()

    def _message(self, message: Shown) -> Locator:
        return self.page.locator(f"#{message.id} .answer")

    async def screen(self, who: str) -> list[Shown]:
        """All messages of the page."""
        found = await self.page.evaluate(LOOK)
        return [Shown(m["id"], m["text"], tuple(m["labels"]), tuple(m["alts"]), tuple(m["rings"])) for m in found]

    async def decide(self, question: Shown, sure: bool) -> None:
        """Who is not sure presses nothing."""
        if sure:
            await self._push(question, "Forget", ADA)

    async def full(self, message: Shown, number: int) -> bytes:
        """The viewer shows it, and offers it for download."""
        await self._message(message).locator(".tile").nth(number - 1).click()
        viewer = self.page.get_by_role("dialog")
        await expect(viewer.get_by_role("img")).to_be_visible()
        address = await viewer.get_by_role("link", name="Download").get_attribute("href")
        await viewer.get_by_role("button", name="Close").click()
        return await (await self.page.request.get(urljoin(self.page.url, f"{address}"))).body()

    async def _vary(self, message: Shown, number: int) -> None:
        """The viewer has a button for the picture that it shows."""
        await self._message(message).locator(".tile").nth(number - 1).click()
        await self.page.get_by_role("dialog").get_by_role("button", name="Variations").click()

    async def sheet(self, message: Shown) -> bytes:
        """The only picture of the message."""
        assert await self._message(message).locator(".tile").count() == 1
        return await self.full(message, 1)

    async def choose(self, message: Shown, step: int) -> None:
        """A button, and a question whether to."""
        await self._push(message, f"{step} steps", ADA)
        await self.page.locator("#question").get_by_role("button", name=f"{step} steps").click()


@asynccontextmanager
async def on_web(stack: Stack) -> AsyncIterator[OnWeb]:
    """The page, opened for the first time."""
    settings = stack.settings.model_copy(update={"port": 0, "redis_url": stack.redis_url})
    async with (
        opened(settings, stack.redis_url) as url,
        web_chat.chromium() as browser,
        web_chat.visit(browser, url) as page,
    ):
        yield OnWeb(page)
