"""What people do on Slack, as requests: each handler notes what was asked, and has the rest done afterwards.

Slack hears that it was heard when a handler returns. It waits three seconds for that, and delivers again what it thinks
was not heard.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.app import Darkroom
from bot.arguments.validation import problems
from bot.commands import button_ids
from bot.commands.ask import last_of_thread
from bot.commands.departures import Departures
from bot.commands.registry import COMMANDS, Command
from bot.connectors.slack import forms, slash_commands
from bot.connectors.slack.attachments import other_than_photo
from bot.connectors.slack.context import InboundContext, by_command, by_event, by_message
from bot.connectors.slack.markup import clipped
from bot.connectors.slack.render import PRESS
from bot.connectors.slack.responder import FormTrigger, SlackResponder
from bot.core import access
from bot.photos.declared_type import no_photos
from storage.errors import UserError
from storage.text import fold

Payload = dict[str, Any]
Work = Callable[[], Awaitable[bool]]  # tells whether the follower goes on with it

ANYTHING = re.compile("")
SHORTCUT = "train_on_photos"
OLD_BUTTON = "That button is of something that is not here any more."
SUGGESTIONS = 100
FINISH_S = 3.0  # to go on with what was begun when the bot is stopped


class EventHandler:
    """The handler of Slack's events: commands, buttons, forms, shortcuts, messages."""

    def __init__(self, app: Darkroom, answers: SlackResponder, departures: Departures) -> None:
        self.app, self.answers, self.departures = app, answers, departures
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, bolt: AsyncApp) -> None:
        """Register the handlers with `bolt`."""
        bolt.command(ANYTHING)(self.typed)
        bolt.action(PRESS)(self.pressed)
        bolt.view(forms.CALLBACK)(self.sent)
        bolt.options(forms.VALUE)(self.suggest)
        bolt.shortcut(SHORTCUT)(self.chosen)
        bolt.event("app_mention")(self.mentioned)
        bolt.event("message")(self.messaged)
        bolt.event("member_joined_channel")(self.joined)
        bolt.event("app_home_opened")(self.opened_home)
        bolt.event("app_uninstalled")(self.uninstalled)
        bolt.event("tokens_revoked")(self.tokens_revoked)
        # What none of these is for is acknowledged all the same, or Slack would deliver it again and tell of an error.
        for kind in (bolt.action, bolt.view, bolt.view_closed, bolt.options, bolt.shortcut, bolt.event):
            kind(ANYTHING)(_pass_over)

    async def close(self) -> None:
        """Finish what was begun, if that is soon."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=FINISH_S)
            for task in late:
                task.cancel()

    async def typed(self, ack: AsyncAck, body: Payload) -> None:
        """A command like `/imagine a [rex] dog --count 4`."""
        await ack()
        asked, trigger = by_command(body), FormTrigger(body["trigger_id"])

        async def work() -> bool:
            command, rest = slash_commands.by_command(body["command"], body.get("text", ""))
            arguments = slash_commands.arguments(command, rest)
            if slash_commands.needs_form(command, rest):
                return await self.answers.open_form(trigger, asked, command.name, arguments)
            return await self.answers.answer(asked, command, arguments)

        await self._start(asked, body["trigger_id"], work)

    async def pressed(self, ack: AsyncAck, body: Payload) -> None:
        """A button, or something chosen from a menu."""
        await ack()
        asked, action, trigger = by_message(body, confirmed=True), body["actions"][0], FormTrigger(body["trigger_id"])
        value = action.get("value") or action.get("selected_option", {}).get("value", "")

        async def work() -> bool:
            button = await button_ids.read(self.app.store, value)
            if button is None:
                raise UserError(OLD_BUTTON)
            if button.command == "consent allow":
                return await self.answers.allow(asked, button.arguments["consent"])
            if button.form:
                return await self.answers.open_form(trigger, asked, button.command, button.arguments)
            return await self.answers.answer(asked, COMMANDS[button.command], button.arguments)

        await self._start(asked, body["trigger_id"], work)

    async def sent(self, ack: AsyncAck, body: Payload) -> None:
        """Handle a submitted form; problems are shown beside its fields."""
        sent = forms.read(body["view"])
        command, values = COMMANDS[sent.command], {**sent.fixed, **sent.values}
        if wrong := forms.errors(body["view"], problems(command.arguments, values)):
            await ack(response_action="errors", errors=wrong)
            return
        await ack()
        files = [*({"id": file} for file in sent.files), *sent.attached]

        await self._start(
            sent.asked, body["view"]["id"], lambda: self.answers.train_on(sent.asked, sent, values, files)
        )

    async def suggest(self, ack: AsyncAck, body: Payload) -> None:
        """What a list in a form offers while somebody types."""
        sent = forms.read({"state": {"values": {}}, **body["view"]})
        field = next(f for f in COMMANDS[sent.command].form().fields if f.name == body["block_id"])
        begun = fold(body.get("value", ""))
        known: list[tuple[str, str]] = []
        with suppress(UserError):  # who may not ask is offered nothing
            known = await self._offered(sent.asked, field.suggest)
        offered = [o for o in known if begun in fold(" ".join(o))]
        texts = [{"text": {"type": "plain_text", "text": clipped(text, 75)}, "value": v} for v, text in offered]
        await ack(options=texts[:SUGGESTIONS])

    async def chosen(self, ack: AsyncAck, body: Payload, context: Payload) -> None:
        """The shortcut "Train on these photos" in a message's menu."""
        await ack()
        asked = by_message(body)
        attached, trigger = body["message"].get("files") or [], FormTrigger(body["trigger_id"])
        files = [file["id"] for file in attached if not other_than_photo(file)]

        async def work() -> bool:
            if not files:
                raise UserError(no_photos([other_than_photo(file) for file in attached]))
            author: str | None = body["message"].get("user", "")
            if author == context.get("bot_user_id") and asked.channel.startswith("D"):
                author = None  # pictures that the bot drew for this person
            return await self.answers.open_form(trigger, asked, "dreambooth train", {}, files, author)

        await self._start(asked, body["trigger_id"], work)

    async def mentioned(self, body: Payload, context: Payload) -> None:
        """Handle a mention, perhaps with photos: `@darkroom train rex dog`."""
        event = body["event"]
        if "user" not in event or event.get("bot_id"):  # another app's words
            return
        asked = by_event(body)

        async def work() -> bool:
            command, rest = await self._by_mention(asked, event.get("text", ""), context.get("bot_user_id") or "")
            files = event.get("files", []) if command.takes_files else []
            return await self.answers.answer(asked, command, slash_commands.arguments(command, rest), files)

        await self._start(asked, body["event_id"], work)

    async def _by_mention(self, asked: InboundContext, text: str, bot_user: str) -> tuple[Command, str]:
        """The command of a mention; words that are none, in the thread of an answer, are a question that follows."""
        try:
            return slash_commands.by_mention(text, bot_user)
        except UserError:
            if not asked.thread:
                raise
            request = await self.answers.people.request(asked, "", {})
            if not await last_of_thread(self.app, request):
                raise
            return COMMANDS["ask"], slash_commands.words_of(text, bot_user)

    async def messaged(self, body: Payload, context: Payload) -> None:
        """Handle a direct message, where nobody needs to be mentioned, and where photos may be added later."""
        event = body["event"]
        if event.get("channel_type") != "im":
            return
        if event.get("subtype") == "message_changed":
            if not (event := _with_new_files(event)):
                return
            body = {**body, "event": event}
        if event.get("subtype") in (None, "file_share", "thread_broadcast"):
            await self.mentioned(body, context)

    async def joined(self, body: Payload, context: Payload) -> None:
        """Somebody came into a channel; if it is the bot, it says what it can do."""
        asked = by_event(body)
        if asked.user == context.get("bot_user_id"):
            await self._start(asked, body["event_id"], lambda: self.answers.welcome(asked))

    async def uninstalled(self, body: Payload) -> None:
        """The app is removed from the workspace: what is of it goes after a grace, and so do we at once."""
        await self.departures.space_left(f"slack:{body['team_id']}")
        await self.tokens_revoked()

    async def tokens_revoked(self) -> None:
        """Somebody revoked a token of the workspace: find out whether that ends us."""
        self.answers.client.suspected.set()

    async def opened_home(self, body: Payload) -> None:
        """Somebody looks at the bot's own page."""
        asked = by_event(body)
        await self._start(asked, body["event_id"], lambda: self.answers.show_home(asked))

    async def _offered(self, asked: InboundContext, kind: str) -> list[tuple[str, str]]:
        """Values for a field, each with what people read."""
        request = await self.answers.people.request(asked, "", {})
        if kind == "subjects":
            known = await access.visible_subjects(self.app, request, self.app.suggestions)
            return [(s.name, f"{s.name} ({s.noun})") for s in known]
        if kind == "groups":
            return [(group["id"], f"@{group['handle']}") for group in await self.answers.people.groups()]
        return await access.stoppable(self.app, request, self.app.suggestions)

    async def _start(self, asked: InboundContext, event: str, work: Work) -> None:
        """Note that something was asked, and do it in the background, unless this event was heard before."""
        note = asked.post(fresh=False)
        await self.answers.follower.note(note)

        async def once() -> bool:
            return await self.app.first(f"slack:{event}") and await work()

        async def to_its_end() -> None:
            if not await self.answers.carefully(asked, once()):
                await self.answers.follower.chat.close(note)

        task = asyncio.create_task(to_its_end())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _with_new_files(event: Payload) -> Payload:
    """The message of an edit that added files, as an event of its own; empty for other edits."""
    message, before = event["message"], event.get("previous_message") or {}
    known = {file["id"] for file in before.get("files") or []}
    if not [file for file in message.get("files") or [] if file["id"] not in known]:
        return {}
    return {**message, "channel": event["channel"], "channel_type": event["channel_type"]}


async def _pass_over(ack: AsyncAck) -> None:
    """Acknowledge what is none of ours: an old form, or an event that somebody subscribed the app to."""
    await ack()
