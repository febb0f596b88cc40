"""What becomes of a request on Slack: a message that all see, a word in private, or a form."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from functools import partial

from slack_sdk.models.views import View

from bot.app import Darkroom
from bot.arguments.validation import check
from bot.commands import consents
from bot.commands.command import Command
from bot.commands.prefill import filled_form
from bot.commands.registry import COMMANDS
from bot.commands.train import photos_hint
from bot.connectors.slack.attachments import Attachments, File
from bot.connectors.slack.client import Client
from bot.connectors.slack.context import InboundContext
from bot.connectors.slack.errors import TriggerOver, TriggerUsed, chat_errors
from bot.connectors.slack.forms import SubmittedForm, view
from bot.connectors.slack.poster import SlackPoster, first_nonce
from bot.connectors.slack.render import blocks
from bot.connectors.slack.request import RequestFactory
from bot.connectors.slack.slash_commands import HELP, help_reply
from bot.core.error_replies import error_reply
from bot.core.messages import Reply, Request
from bot.delivery.follower import Follower
from bot.delivery.posts import BotRefused, ChatRefused, ChatTrouble, Post, RateLimited, UnknownTrouble
from bot.photos.vetting import check_number
from storage.errors import UserError

log = logging.getLogger(__name__)

ON_IT = Reply(text="On it.", state="working")
AWAY = "Slack did not answer me, so nothing was started. Please try again soon."
NOT_TAKEN = "Slack does not take my answer here ({}), so nothing was started. Try another channel or a direct message."
UNKNOWN = "Slack gave an unknown answer ({}), so nothing was started. Please tell whoever runs this bot."
TRIGGER_S = 2.7  # a trigger is good for three seconds, of which some go by on the way
AGAIN_S = 0.2
NOT_OPENED = "Slack does not open the form ({}). Please tell whoever runs this bot."
TOO_LATE = "Slack did not let me open the form in time. Please try again."


@dataclass(frozen=True)
class FormTrigger:
    """What lets one form be opened, for three seconds after a person asked for it."""

    id: str
    until_s: float = field(default_factory=lambda: asyncio.get_running_loop().time() + TRIGGER_S)

    @property
    def left_s(self) -> float:
        """How long it is still good for."""
        return self.until_s - asyncio.get_running_loop().time()


class SlackResponder:
    """Answers requests where they were asked."""

    def __init__(
        self, app: Darkroom, client: Client, follower: Follower, people: RequestFactory, attachments: Attachments
    ) -> None:
        self.app, self.client, self.follower = app, client, follower
        self.people, self.attachments = people, attachments
        self.poster: SlackPoster = follower.poster  # type: ignore[assignment]

    async def answer(
        self, inbound: InboundContext, command: Command, arguments: dict[str, str], files: Sequence[File] = ()
    ) -> bool:
        """Answer a command, all or only the asker seeing it; raises UserError before anything is said.

        Return whether what was noted of it is in the follower's hands now.
        """
        request = await self.people.request(inbound, command.name, arguments)
        if command.answers == "asker":
            fetch = partial(self.attachments.fetch, files) if command.takes_documents else None
            reply = help_reply() if command is HELP else await self.app.last_reply(request, fetch)
            await self.send_ephemeral(inbound, reply)
            return False
        # What is wrong with a request is told before "On it." is posted, which all would see for nothing.
        if command.takes_photos:
            check_number(len(files), self.app.settings.photos_max)
        check(command.arguments, arguments)
        post = await self._begin(inbound, command, request)
        fetch = partial(self.attachments.fetch, files) if files else None
        await self.follower.answer_with(fetch, request, post)
        return True

    async def train_on(
        self, inbound: InboundContext, sent: SubmittedForm, values: dict[str, str], files: Sequence[File]
    ) -> bool:
        """Train on the photos of somebody's message, once they agree where they have to; raises UserError."""
        command = COMMANDS[sent.command]
        request = await self.people.request(inbound, command.name, values)
        if sent.author is None or not consents.needed(request, sent.author):
            return await self.answer(inbound, command, values, files)
        photos = [{"id": str(file["id"])} for file in files]
        reply = await consents.ask(self.app, request, sent.author, photos)
        # The mention is for the photos' author, so the post is theirs and not of who asked.
        post = inbound.post().model_copy(update={"user": sent.author})
        await self.poster.send(post, reply, nonce=first_nonce(post.job), mention=bool(sent.author))
        return False

    async def allow(self, inbound: InboundContext, consent_id: str) -> bool:
        """Start a training whose photos' author consents; raises UserError for anybody else."""
        command, arguments = COMMANDS["consent allow"], {"consent": consent_id}
        request = await self.people.request(inbound, command.name, arguments)
        consent = await consents.answered_by(self.app, request, consent_id)
        # The question's message becomes the training's, which belongs to who asked for it.
        post = inbound.post().model_copy(
            update={"user": consent.request.user, "message": inbound.message, "fresh": False}
        )
        fetch = partial(self.attachments.fetch, consent.photos)
        await self.follower.answer_with(fetch, consents.approved_request(consent, request), post)
        return True

    async def open_form(
        self,
        trigger: FormTrigger,
        inbound: InboundContext,
        command: str,
        arguments: dict[str, str],
        files: Sequence[str] = (),
        author: str | None = None,
    ) -> bool:
        """Open a command's form, filled in as far as is known, within the three seconds that a trigger is good for.

        `files` are those of a message that `author` posted.
        """
        request = await self.people.request(inbound, command, {})
        form = await filled_form(self.app, request, command, arguments)
        await self._open(trigger, view(form, inbound, files, photos_hint(self.app.settings), author))
        return False

    async def _open(self, trigger: FormTrigger, form: View) -> None:
        """Open a form, and try again as long as its trigger is good; raises UserError when that is over."""
        lost = False  # whether an answer was, after which the form may be open
        while True:
            try:
                with chat_errors():
                    async with asyncio.timeout_at(trigger.until_s):
                        await self.client.views_open(trigger_id=trigger.id, view=form)
                return
            except (ChatRefused, BotRefused) as error:
                # The trigger was used by a try whose answer was lost: the form is open.
                if lost and isinstance(error, TriggerUsed):
                    return
                says = TOO_LATE if isinstance(error, TriggerOver) else NOT_OPENED.format(error)
                raise UserError(says) from error
            except ChatTrouble as error:
                log.info("no form yet: %s", error)
                lost = lost or not isinstance(error, RateLimited)
                pause_s = max(AGAIN_S, error.retry_after_s if isinstance(error, RateLimited) and error.stated else 0)
                # A rate limit longer than the trigger's life cannot be waited out.
                if trigger.left_s < pause_s:
                    raise UserError(TOO_LATE) from error
                await asyncio.sleep(pause_s)

    async def send_ephemeral(self, inbound: InboundContext, reply: Reply) -> None:
        """Send a message that only the person sees."""
        await self.follower.chat.send_ephemeral(inbound.post(), reply)

    async def welcome(self, inbound: InboundContext) -> bool:
        """Say in a channel what can be asked here, if Slack takes it."""
        post = inbound.post()
        try:
            await self.poster.send(post, help_reply(), nonce=first_nonce(post.job), mention=False)
        except (ChatRefused, ChatTrouble) as error:
            log.info("no welcome in channel %s: %s", post.channel, error)
        return False

    async def show_home(self, inbound: InboundContext) -> bool:
        """Say the same on the bot's own page, which somebody looks at."""
        page = await blocks(self.app.store, help_reply(), {})
        try:
            with chat_errors():
                await self.client.views_publish(user_id=inbound.user, view=View(type="home", blocks=page))
        except (ChatRefused, ChatTrouble) as error:
            log.info("no home page for %s: %s", inbound.user, error)
        return False

    async def with_error_reply(self, inbound: InboundContext, work: Awaitable[bool]) -> bool:
        """Do some work and return what it does; whatever goes wrong becomes a sentence for who asked."""
        try:
            return await work
        except (ChatRefused, ChatTrouble) as error:
            log.log(logging.ERROR if isinstance(error, UnknownTrouble) else logging.WARNING, "no answer: %s", error)
            await self.send_ephemeral(inbound, _sorry(error))
        except Exception as error:
            await self.send_ephemeral(inbound, error_reply(error, "an event on Slack"))
        return False

    async def _begin(self, inbound: InboundContext, command: Command, request: Request) -> Post:
        """Say "On it." for all to see, but not in place of a question, before anything is spent.

        Raises ChatRefused or ChatTrouble where nobody would see it. The post is written down first, so that a message
        whose process dies is found again.
        """
        post = inbound.post(request=None if command.takes_photos else request)
        if command.answers == "in place" and inbound.message:
            return post.model_copy(update={"message": inbound.message, "fresh": False})
        # Before the message, or a process that dies in between would leave an "On it." that nobody comes back to.
        await self.follower.posts.write(post)
        try:
            message = await self.follower.chat.begin(post, ON_IT, first_nonce(post.job))
        except (ChatRefused, ChatTrouble):
            await self.follower.chat.close(post)
            raise
        return post.model_copy(update={"message": message})


def _sorry(error: ChatRefused | ChatTrouble) -> Reply:
    """Say why a request is not answered where it was made."""
    if isinstance(error, ChatRefused | BotRefused):
        return Reply(text=error.says or NOT_TAKEN.format(error), state="failed", fault="input")
    text = UNKNOWN.format(error) if isinstance(error, UnknownTrouble) else AWAY
    return Reply(text=text, state="failed", fault="ours")
