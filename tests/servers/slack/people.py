"""What people do in Slack: type commands, press buttons, fill in forms, mention the bot, choose a shortcut."""

import time
from collections.abc import Callable
from typing import Any

from tests.servers.slack.block_kit import elements
from tests.servers.slack.payloads import Payloads, escaped
from tests.servers.slack.server import SlackServer, until
from tests.servers.slack.signed_http import SignedHttp
from tests.servers.slack.workspace import BOT_USER, Channel, Delivery, File, Json, Message, View

ACK_S = 3.0
ADA, BOB = "U0ADA", "U0BOB"


class Slack:
    """The people of a workspace, in front of a bot that is connected by a socket or listens at `events_url`."""

    def __init__(self, server: SlackServer, events_url: str = "") -> None:
        self.server, self.workspace = server, server.workspace
        self.http = SignedHttp(events_url) if events_url else None
        self.payloads = Payloads(server)
        for user in (ADA, BOB):
            self.workspace.add_user(user)
        self.general = self.workspace.add_channel("general")

    async def deliver(self, kind: str, payload: Json) -> Json:
        """Tell the bot something and time its acknowledgement, which must come within three seconds."""
        delivery = Delivery(kind, time.monotonic())
        self.workspace.deliveries.append(delivery)
        delivery.answer = await (self.http or self.server.sockets).send(kind, payload)
        delivery.ack_s = time.monotonic() - delivery.sent_s
        if delivery.ack_s > ACK_S:
            self.workspace.violated(f"{kind} acknowledged after {delivery.ack_s:.1f} s")
        return delivery.answer

    async def slash(self, command: str, text: str = "", user: str = ADA, channel: Channel | None = None) -> Json:
        """Type a command; return the payload, with which it can be delivered again."""
        payload = self.payloads.slash(command, text, user, channel or self.general)
        await self.deliver("slash_commands", payload)
        return payload

    async def press(self, message: Message, label: str, user: str = ADA) -> Json:
        """Press a button, or choose from a list, under a message; the question it asks is answered with yes."""
        block, element, option = _pressable(message.blocks, label)
        payload = self.payloads.press(message, block, element, option, user)
        await self.deliver("interactive", payload)
        return payload

    async def submit(self, view: View, files: list[File] | None = None, **values: str) -> Json:
        """Fill in a form and send it; what it showed already stays. Returns `response_action: errors`, or nothing."""
        payload = self.payloads.submission(view, values, files or [])
        answer = await self.deliver("interactive", payload)
        if answer.get("response_action") == "errors":
            unknown = answer["errors"].keys() - {b.get("block_id") for b in view.body["blocks"]}
            if unknown:
                self.workspace.violated(f"errors for blocks that are not there: {unknown}")
            return answer
        self.workspace.views.pop(view.id, None)
        return {}

    async def suggestions(self, view: View, name: str, typed: str = "") -> list[str]:
        """What a list that is looked up while typing offers."""
        answer = await self.deliver("interactive", self.payloads.suggestion(view, name, typed))
        return [option["value"] for option in answer.get("options", [])]

    async def mention(
        self,
        words: str,
        files: list[File] | None = None,
        user: str = ADA,
        channel: Channel | None = None,
        thread: Message | None = None,
    ) -> Json:
        """Say something to the bot in a channel, with files."""
        place = channel or self.general
        text = f"<@{BOT_USER}> {escaped(words)}"
        where = {"thread_ts": thread.ts} if thread else {}
        message = self.workspace.post(place, user, text, files=[f.id for f in files or []], **where)
        payload = self.payloads.mention(message)
        await self.deliver("events_api", payload)
        return payload

    async def shortcut(self, message: Message, callback_id: str = "train_on_photos", user: str = ADA) -> Json:
        """Choose the shortcut in a message's menu."""
        payload = self.payloads.shortcut(message, callback_id, user)
        await self.deliver("interactive", payload)
        return payload

    async def say(
        self, text: str, files: list[File] | None = None, user: str = ADA, thread: Message | None = None
    ) -> Message:
        """Write into the channel, with files, not to the bot."""
        where = {"thread_ts": thread.ts} if thread else {}
        return self.workspace.post(self.general, user, text, files=[f.id for f in files or []], **where)

    def photos(self, photos: Any, user: str = ADA) -> list[File]:
        """Upload photos (`bot.core.messages.Upload`) as a person does."""
        return [self.workspace.add_file(photo.name, photo.data, user) for photo in photos]

    def seen(self, channel: Channel | None = None, user: str = "") -> list[Message]:
        """The bot's messages in a channel, oldest first: what all see, or what only `user` sees."""
        messages = (channel or self.general).messages.values()
        return [m for m in messages if m.user == BOT_USER and m.only_for == user]

    def told(self, user: str = ADA) -> list[Message]:
        """The bot's messages in the direct conversation with a person."""
        return self.seen(self.workspace.conversation_with(user))

    async def message(
        self, fits: Callable[[Message], bool] | str, user: str = "", channel: Channel | None = None, **wait: float
    ) -> Message:
        """Wait for a message of the bot that fits, or whose text or blocks contain some words."""
        look = (lambda m: fits in words(m)) if isinstance(fits, str) else fits
        try:
            return await until(lambda: next((m for m in self.seen(channel, user) if look(m)), None), **wait)
        except TimeoutError:
            seen = [words(m) for m in self.seen(channel, user)]
            raise AssertionError(f"not said: {fits}; said: {seen}; violated: {self.workspace.violations}") from None

    async def view(self, user: str = ADA) -> View:
        """Wait for a form on a person's screen."""
        views = self.workspace.views
        return await until(
            lambda: next((v for v in views.values() if v.user == user and v.body["type"] == "modal"), None)
        )


def words(message: Message) -> str:
    """Everything that can be read in a message."""
    return f"{message.text}\n{message.blocks}"


def begun(message: Message) -> bool:
    """Whether a message stands for something that was asked for and is not done; its first words go soon."""
    return any(said in words(message) for said in ("On it", "Looking at", "Waiting"))


def labels(message: Message) -> list[str]:
    """What can be pressed or chosen under a message, in its order."""
    found = []
    for block in message.blocks:
        for element in elements(block):
            if element["type"] == "button":
                found.append(element["text"]["text"])
            found += [option["text"]["text"] for option in element.get("options", [])]
    return found


def images(message: Message) -> list[Json]:
    """The image blocks of a message."""
    return [block for block in message.blocks if block["type"] == "image"]


def _pressable(blocks: list[Json], label: str) -> tuple[Json, Json, Json | None]:
    for block in blocks:
        for element in elements(block):
            if element["type"] == "button" and element["text"]["text"] == label:
                return block, element, None
            for option in element.get("options", []):
                if option["text"]["text"] == label:
                    return block, element, option
    raise AssertionError(f"nothing called {label} can be pressed in {blocks}")
