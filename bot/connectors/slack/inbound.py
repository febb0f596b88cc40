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
from bot.commands.command import Command
from bot.commands.departures import Departures
from bot.commands.registry import COMMANDS
from bot.connectors.slack import forms, slash_commands
from bot.connectors.slack.attachments import files_of, other_than_photo
from bot.connectors.slack.context import InboundContext, by_command, by_event, by_message
from bot.connectors.slack.render import PRESS
from bot.connectors.slack.responder import FormTrigger, SlackResponder
from bot.core import access
from bot.photos.declared_type import no_photos
from storage.errors import UserError
from storage.text import fold, shorten

Payload = dict[str, Any]
Work = Callable[[], Awaitable[bool]]  # tells whether the follower goes on with it

ANYTHING = re.compile("")
SHORTCUT = "train_on_photos"
OLD_BUTTON = "This button belongs to something that has been deleted."
SUGGESTIONS = 100
FINISH_S = 3.0  # to go on with what was begun when the bot is stopped


class EventHandler:
    """The handler of Slack's events: commands, buttons, forms, shortcuts, messages."""

    def __init__(self, app: Darkroom, responder: SlackResponder, departures: Departures) -> None:
        self.app, self.responder, self.departures = app, responder, departures
        self._tasks: set[asyncio.Task[None]] = set()

    def listen(self, bolt: AsyncApp) -> None:
        """Register the handlers with `bolt`."""
        bolt.command(ANYTHING)(self.on_command)
        bolt.action(PRESS)(self.on_action)
        bolt.view(forms.CALLBACK)(self.on_form)
        bolt.options(forms.VALUE)(self.on_options)
        bolt.shortcut(SHORTCUT)(self.on_shortcut)
        bolt.event("app_mention")(self.on_mention)
        bolt.event("message")(self.on_message)
        bolt.event("member_joined_channel")(self.on_member_joined)
        bolt.event("app_home_opened")(self.on_home_opened)
        bolt.event("app_uninstalled")(self.on_uninstalled)
        bolt.event("tokens_revoked")(self.on_tokens_revoked)
        # What none of these is for is acknowledged all the same, or Slack would deliver it again and tell of an error.
        for kind in (bolt.action, bolt.view, bolt.view_closed, bolt.options, bolt.shortcut, bolt.event):
            kind(ANYTHING)(_pass_over)

    async def close(self) -> None:
        """Finish what was begun, if that is soon."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=FINISH_S)
            for task in late:
                task.cancel()

    async def on_command(self, ack: AsyncAck, body: Payload) -> None:
        """A command like `/imagine a [rex] dog --count 4`."""
        await ack()
        # Slack wants its acknowledgement within three seconds, so nothing slower comes before it.
        inbound, trigger = by_command(body), FormTrigger(body["trigger_id"])

        async def work() -> bool:
            command, rest = slash_commands.by_command(body["command"], body.get("text", ""))
            arguments = slash_commands.arguments(command, rest)
            if slash_commands.needs_form(command, rest):
                return await self.responder.open_form(trigger, inbound, command.name, arguments)
            return await self.responder.answer(inbound, command, arguments)

        await self._start(inbound, body["trigger_id"], work)

    async def on_action(self, ack: AsyncAck, body: Payload) -> None:
        """A button, or something chosen from a menu."""
        await ack()
        inbound, action, trigger = by_message(body, confirmed=True), body["actions"][0], FormTrigger(body["trigger_id"])
        value = action.get("value") or action.get("selected_option", {}).get("value", "")

        async def work() -> bool:
            button = await button_ids.read(self.app.store, value)
            if button is None:
                raise UserError(OLD_BUTTON)
            if button.command == "consent allow":
                return await self.responder.allow(inbound, button.arguments["consent"])
            if button.form:
                return await self.responder.open_form(trigger, inbound, button.command, button.arguments)
            return await self.responder.answer(inbound, COMMANDS[button.command], button.arguments)

        await self._start(inbound, body["trigger_id"], work)

    async def on_form(self, ack: AsyncAck, body: Payload) -> None:
        """Handle a submitted form; problems are shown beside its fields."""
        sent = forms.read(body["view"])
        command, values = COMMANDS[sent.command], {**sent.fixed, **sent.values}
        if wrong := forms.errors(body["view"], problems(command.arguments, values)):
            await ack(response_action="errors", errors=wrong)
            return
        await ack()
        # Files chosen in the form come described; of those of a message only the ids went along with the form.
        files = [*({"id": file} for file in sent.files), *sent.attached]

        await self._start(
            sent.asked, body["view"]["id"], lambda: self.responder.train_on(sent.asked, sent, values, files)
        )

    async def on_options(self, ack: AsyncAck, body: Payload) -> None:
        """What a list in a form offers while somebody types."""
        sent = forms.read({"state": {"values": {}}, **body["view"]})
        field = next(f for f in COMMANDS[sent.command].form().fields if f.name == body["block_id"])
        typed = fold(body.get("value", ""))
        known: list[tuple[str, str]] = []
        with suppress(UserError):  # who may not ask is offered nothing
            known = await self._options(sent.asked, field.suggest)
        matching = [o for o in known if typed in fold(" ".join(o))]
        texts = [{"text": {"type": "plain_text", "text": shorten(text, 75)}, "value": v} for v, text in matching]
        await ack(options=texts[:SUGGESTIONS])

    async def on_shortcut(self, ack: AsyncAck, body: Payload, context: Payload) -> None:
        """The shortcut "Train on these photos" in a message's menu."""
        await ack()
        inbound = by_message(body)
        message, trigger = body["message"], FormTrigger(body["trigger_id"])
        attached, poster = files_of(message)
        files = [file["id"] for file in attached if not other_than_photo(file)]

        async def work() -> bool:
            if not files:
                raise UserError(no_photos([other_than_photo(file) for file in attached]))
            mine = poster == context.get("bot_user_id") == message.get("user") and inbound.channel.startswith("D")
            author = None if mine else poster  # pictures that the bot drew for this person need no consent
            return await self.responder.open_form(trigger, inbound, "dreambooth train", {}, files, author)

        await self._start(inbound, body["trigger_id"], work)

    async def on_mention(self, body: Payload, context: Payload) -> None:
        """Handle a mention, perhaps with photos: `@darkroom train rex dog`."""
        event = body["event"]
        # Answering another bot could go on for ever between the two.
        if "user" not in event or event.get("bot_id"):  # another app's words
            return
        inbound = by_event(body)

        async def work() -> bool:
            command, rest = await self._by_mention(inbound, event.get("text", ""), context.get("bot_user_id") or "")
            # With other commands files are ignored: people forward messages that have pictures.
            files = event.get("files", []) if command.takes_files else []
            return await self.responder.answer(inbound, command, slash_commands.arguments(command, rest), files)

        await self._start(inbound, body["event_id"], work)

    async def _by_mention(self, inbound: InboundContext, text: str, bot_user: str) -> tuple[Command, str]:
        """The command of a mention; words that are none, in the thread of an answer, are a question that follows."""
        try:
            return slash_commands.by_mention(text, bot_user)
        except UserError:
            if not inbound.thread:
                raise
            request = await self.responder.people.request(inbound, "", {})
            await self.app.limits.pace(request, "replies")
            if not await last_of_thread(self.app, request):
                raise
            return COMMANDS["ask"], slash_commands.words_of(text, bot_user)

    async def on_message(self, body: Payload, context: Payload) -> None:
        """Handle a direct message, where nobody needs to be mentioned, and where photos may be added later."""
        event = body["event"]
        # In channels only mentions count, which come as `app_mention`: answering both would answer twice.
        if event.get("channel_type") != "im":
            return
        if event.get("subtype") == "message_changed":
            if not (event := _with_new_files(event)):
                return
            body = {**body, "event": event}
        if event.get("subtype") in (None, "file_share", "thread_broadcast"):
            await self.on_mention(body, context)

    async def on_member_joined(self, body: Payload, context: Payload) -> None:
        """Somebody came into a channel; if it is the bot, it says what it can do."""
        inbound = by_event(body)
        if inbound.user == context.get("bot_user_id"):
            await self._start(inbound, body["event_id"], lambda: self.responder.welcome(inbound))

    async def on_uninstalled(self, body: Payload) -> None:
        """The app is removed from the workspace: what is of it goes after a grace, and so do we at once."""
        await self.departures.space_left(f"slack:{body['team_id']}")
        await self.on_tokens_revoked()

    async def on_tokens_revoked(self) -> None:
        """Somebody revoked a token of the workspace: find out whether that ends us."""
        self.responder.client.suspected.set()

    async def on_home_opened(self, body: Payload) -> None:
        """Somebody looks at the bot's own page."""
        inbound = by_event(body)
        await self._start(inbound, body["event_id"], lambda: self.responder.show_home(inbound))

    async def _options(self, inbound: InboundContext, kind: str) -> list[tuple[str, str]]:
        """Values for a field, each with what people read."""
        request = await self.responder.people.request(inbound, "", {})
        if kind == "subjects":
            known = await access.visible_subjects(self.app, request, self.app.suggestions)
            return [(s.name, f"{s.name} ({s.noun})") for s in known]
        if kind == "groups":
            return [(group["id"], f"@{group['handle']}") for group in await self.responder.people.groups()]
        return await access.stoppable(self.app, request, self.app.suggestions)

    async def _start(self, inbound: InboundContext, event: str, work: Work) -> None:
        """Note that something was asked, and do it in the background, unless this event was heard before."""
        # Written before the event is acknowledged: Slack delivers again only what was not, so a crash would lose it.
        note = inbound.post(fresh=False)
        await self.responder.follower.note(note)

        async def once() -> bool:
            # Redis may take seconds, so this is asked after the acknowledgement and not before it.
            return await self.app.first(f"slack:{event}") and await work()

        async def to_its_end() -> None:
            if not await self.responder.with_error_reply(inbound, once()):
                await self.responder.follower.chat.close(note)

        # asyncio keeps weak references only: without the set a task may be collected before it ends.
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
