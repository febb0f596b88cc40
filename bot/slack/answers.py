"""What becomes of a request on Slack: a message that all see, a word in private, or a form."""

import logging
from collections.abc import Awaitable, Sequence
from functools import partial

from slack_sdk.web.async_client import AsyncWebClient

from bot.answers import consents
from bot.answers.training import check_number, photos_hint
from bot.app import Darkroom, complaint
from bot.asking.prefill import filled_form
from bot.commands import COMMANDS, Command
from bot.following.follower import Follower
from bot.following.posts import ChannelClosed, ChatTrouble, Post
from bot.messages import Reply, Request
from bot.slack.asked import Asked
from bot.slack.client import meaning
from bot.slack.files import Attachments, File
from bot.slack.forms import Sent, view
from bot.slack.people import People
from bot.slack.poster import SlackPoster, begun
from bot.slack.typed import HELP, help_reply
from storage.errors import UserError

log = logging.getLogger(__name__)

ON_IT = Reply(text="On it.", state="working")
NOT_INVITED = "I may not write in this channel. Invite me with /invite, or ask me in a direct message."
AWAY = "Slack did not answer me. Please try again soon."
TOO_LATE = "Slack did not let me open the form in time. Please try again."


class Answers:
    """Answers requests where they were asked."""

    def __init__(
        self, app: Darkroom, client: AsyncWebClient, follower: Follower, people: People, attachments: Attachments
    ) -> None:
        self.app, self.client, self.follower = app, client, follower
        self.people, self.attachments = people, attachments
        self.poster: SlackPoster = follower.poster  # type: ignore[assignment]

    async def answer(
        self, asked: Asked, command: Command, arguments: dict[str, str], files: Sequence[File] = ()
    ) -> bool:
        """Answer a command, all or only the asker seeing it; raises UserError before anything is said.

        Return whether what was noted of it is in the follower's hands now.
        """
        request = await self.people.request(asked, command.name, arguments)
        if command.answers == "asker":
            reply = help_reply() if command is HELP else await self.follower.ask(request)
            await self.tell(asked, reply)
            return False
        if command.takes_photos:
            check_number(len(files), self.app.settings.photos_max)
        command.check(arguments)
        post = await self._begin(asked, command, request)
        await self.follower.answer_with(lambda share: self.attachments.fetch(files, share), request, post)
        return True

    async def train_on(self, asked: Asked, sent: Sent, values: dict[str, str], files: Sequence[File]) -> bool:
        """Train on the photos of somebody's message, once they agree where they have to; raises UserError."""
        command = COMMANDS[sent.command]
        request = await self.people.request(asked, command.name, values)
        if sent.author is None or not consents.needed(request, sent.author):
            return await self.answer(asked, command, values, files)
        photos = [{"id": str(file["id"])} for file in files]
        reply = await consents.ask(self.app, request, sent.author, photos)
        post = asked.post().model_copy(update={"user": sent.author})
        await self.poster.send(post, reply, nonce=begun(post.job), mention=bool(sent.author))
        return False

    async def allow(self, asked: Asked, consent_id: str) -> bool:
        """Go on with a training whose photos' author agrees; raises UserError for anybody else."""
        command, arguments = COMMANDS["consent allow"], {"consent": consent_id}
        request = await self.people.request(asked, command.name, arguments)
        consent = await consents.answered_by(self.app, request, consent_id)
        post = asked.post().model_copy(update={"user": consent.request.user, "message": asked.message, "fresh": False})
        fetch = partial(self.attachments.fetch, consent.photos)
        await self.follower.answer_with(fetch, consents.granted(consent, request), post)
        return True

    async def open_form(
        self,
        trigger: str,
        asked: Asked,
        command: str,
        arguments: dict[str, str],
        files: Sequence[str] = (),
        author: str | None = None,
    ) -> bool:
        """Open a command's form, filled in as far as is known, within the three seconds that a trigger is good for.

        `files` are those of a message that `author` posted.
        """
        request = await self.people.request(asked, command, {})
        form = await filled_form(self.app, request, command, arguments)
        try:
            with meaning():
                await self.client.views_open(
                    trigger_id=trigger, view=view(form, asked, files, photos_hint(self.app.settings), author)
                )
        except ChatTrouble as error:
            log.info("no form for %s: %s", command, error)
            raise UserError(TOO_LATE) from error
        return False

    async def tell(self, asked: Asked, reply: Reply) -> None:
        """Tell the person, and nobody else."""
        await self.follower.chat.whisper(asked.post(), reply)

    async def welcome(self, asked: Asked) -> bool:
        """Say in a channel what can be asked here."""
        post = asked.post()
        await self.poster.send(post, help_reply(), nonce=begun(post.job), mention=False)
        return False

    async def carefully(self, asked: Asked, work: Awaitable[bool]) -> bool:
        """Do some work and return what it does; whatever goes wrong becomes a sentence for who asked."""
        try:
            return await work
        except ChannelClosed:
            await self.tell(asked, _sorry(NOT_INVITED))
        except ChatTrouble as error:
            log.warning("could not answer: %s", error)
            await self.tell(asked, Reply(text=AWAY, state="failed", fault="ours"))
        except Exception as error:
            await self.tell(asked, complaint(error, "an event on Slack"))
        return False

    async def _begin(self, asked: Asked, command: Command, request: Request) -> Post:
        """Say "On it." for all to see, but not in place of a question; raises ChannelClosed where we may not write.

        The post is written down first, so that a message whose process dies is found again. Where Slack is only
        slow, the follower says it as soon as it can.
        """
        post = asked.post(request=None if command.takes_photos else request)
        if command.answers == "in place" and asked.message:
            return post.model_copy(update={"message": asked.message, "fresh": False})
        await self.follower.posts.write(post)
        try:
            message = await self.poster.send(post, ON_IT, nonce=begun(post.job), mention=False)
            return post.model_copy(update={"message": message})
        except ChannelClosed:
            await self.follower.chat.close(post)
            raise
        except ChatTrouble as error:
            log.info("a message comes later: %s", error)
            return post


def _sorry(sentence: str) -> Reply:
    return Reply(text=sentence, state="failed", fault="input")
