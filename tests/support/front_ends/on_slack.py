"""Slack, with the real client on the local workspace."""

import html
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bot.app import Darkroom
from bot.arguments.parser import typed
from bot.commands.registry import COMMANDS
from bot.photos.uploads import Upload
from tests.conftest import Stack
from tests.servers.slack import Slack, SlackServer
from tests.servers.slack.block_kit import elements
from tests.servers.slack.people import images, labels
from tests.servers.slack.server import until
from tests.servers.slack.workspace import Json, Message
from tests.support.front_ends import ADA, Front, Shown
from tests.support.slack_bot import SPACE, Scene, environment

USERS = {"ada": "U0ADA", "bob": "U0BOB"}
PEOPLE = {user: name for name, user in USERS.items()}
CALL = re.compile(r"<(?:[@!]|https?:)([^>|]*)")


class OnSlack(Front):
    """A workspace with Ada and Bob."""

    space = SPACE

    def __init__(self, slack: Slack) -> None:
        super().__init__()
        self.slack = slack

    async def _give(self, command: str, who: str, photos: Sequence[Upload], options: dict[str, Any]) -> None:
        """Type a slash command; say what goes with photos to the bot, for commands take no files."""
        values = {name: str(value) for name, value in options.items()}
        line = typed(command, values, COMMANDS[command].arguments)
        if photos:
            words = line.removeprefix("/dreambooth ")
            return await self._mention(words, photos, USERS[who])
        word, _, rest = (line if " " in command or command == "imagine" else f"/darkroom {command}").partition(" ")
        await self.slack.slash(word, rest, USERS[who])

    async def _mention(self, words: str, photos: Sequence[Upload], user: str) -> None:
        await self.slack.mention(words, self.slack.photos(photos, user), user)

    async def _push(self, message: Shown, label: str, who: str) -> None:
        """Press a button; the question that it may ask is answered with yes."""
        await self.slack.press(self._message(message), label, USERS[who])

    def _message(self, message: Shown) -> Message:
        return self.slack.general.messages[message.id]

    async def screen(self, who: str) -> list[Shown]:
        """The channel, with what only this person sees in it, and what the bot told them alone."""
        assert not self.slack.workspace.violations
        user = USERS[who]
        there = [*self.slack.seen(), *self.slack.seen(user=user), *self.slack.told(user)]
        return [_shown(message) for message in there]

    async def decide(self, question: Shown, sure: bool) -> None:
        """Who is not sure presses nothing."""
        if sure:
            await self._push(question, "Forget", ADA)

    async def full(self, message: Shown, number: int) -> bytes:
        """A message with the one picture."""
        before = len(self.slack.seen())
        await self.slack.press(self._message(message), f"Full {number}")
        said = await until(lambda: next((m for m in self.slack.seen()[before:] if images(m)), None))
        file = self.slack.workspace.files[images(said)[0]["slack_file"]["id"]]
        assert file.data
        return file.data

    async def _vary(self, message: Shown, number: int) -> None:
        """There is a button for each."""
        await self._push(message, f"V{number}", ADA)

    async def sheet(self, message: Shown) -> bytes:
        """The only picture of the message."""
        (picture,) = images(self._message(message))
        file = self.slack.workspace.files[picture["slack_file"]["id"]]
        assert file.data
        return file.data

    async def choose(self, message: Shown, step: int) -> None:
        """A button, whose question is answered with yes."""
        await self._push(message, f"{step} steps", ADA)


def _shown(message: Message) -> Shown:
    marked = "\n".join(text for block in message.blocks for text in _texts(block)) or message.text
    return Shown(
        message.ts,
        html.unescape(re.sub(r"^\*(.*)\*$", r"\1", marked, flags=re.M)),
        tuple(labels(message)),
        tuple(image["alt_text"] for image in images(message)),
        tuple(PEOPLE.get(called, called) for called in CALL.findall(marked)),
    )


def _texts(block: Json) -> list[str]:
    """What a block says, as it is marked up; not what stands on buttons."""
    parts = [block.get("text"), *block.get("fields", []), *(e for e in elements(block) if block["type"] == "context")]
    return [part["text"] for part in parts if part]


@asynccontextmanager
async def on_slack(stack: Stack) -> AsyncIterator[OnSlack]:
    """A bot in a workspace of its own."""
    async with SlackServer() as server:
        slack = Slack(server)
        app = await Darkroom.open(stack.settings, stack.redis_url)
        async with Scene(slack, app, environment(server, stack.environment), stack.redis_url).bot():
            yield OnSlack(slack)
        await app.close()
    assert not slack.workspace.violations
