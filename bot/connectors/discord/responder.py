"""What the bot does when somebody uses it on Discord: acknowledge at once, then answer.

An interaction must be acknowledged within three seconds, whatever else goes on. So what may take longer comes
after it: fetching photos, reading subjects, waiting for a job.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import discord

from bot.app import Darkroom
from bot.commands import consents
from bot.commands.command import Command
from bot.commands.consents import Consent
from bot.connectors.discord.ack import ack_repeatedly, acknowledge, in_time, original
from bot.connectors.discord.poster import DiscordPoster
from bot.connectors.discord.render import render
from bot.connectors.discord.request import closed_to, place_name, request_of
from bot.connectors.discord.slash_commands import AttachedFile, help_reply
from bot.core.messages import Fetch, Request
from bot.delivery.follower import Follower
from bot.delivery.posts import Post
from bot.photos.fair_slots import FairSlots
from bot.photos.fetch import AT_ONCE, EACH_AT_ONCE, FileHosts, fetch_file
from bot.photos.in_flight import InFlightShare
from bot.photos.uploads import Upload
from bot.photos.vetting import check_number
from storage.queue.redis_errors import best_effort

log = logging.getLogger(__name__)

ASK_REDIS_S = 1.0  # an acknowledgement does not wait longer for it


@dataclass(frozen=True)
class InboundCommand:
    """A command as it was given: typed, by a button, in a form."""

    command: Command
    arguments: dict[str, str]
    attached: tuple[AttachedFile, ...] = ()
    about: str = ""  # id of the message whose button was pressed
    sure: bool = False  # said in answer to a question that asked whether to
    consent: Consent | None = None  # that the person gives: it is done for who asked for it


class DiscordResponder:
    """Answers commands, wherever they were given."""

    def __init__(self, app: Darkroom, follower: Follower, poster: DiscordPoster, hosts: FileHosts) -> None:
        self.app, self.follower, self.poster, self.hosts = app, follower, poster, hosts
        self._fetching = FairSlots(AT_ONCE, each=EACH_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the HTTP session that photos are fetched with."""
        if self._session:
            await self._session.close()

    async def first(self, interaction: discord.Interaction) -> bool:
        """Whether an event comes for the first time; while Redis cannot say, it is taken for new."""
        with best_effort("what was heard before cannot be told"):
            async with asyncio.timeout(ASK_REDIS_S):
                return await self.app.first(f"discord:{interaction.id}")
        return True

    async def answer(self, interaction: discord.Interaction, inbound: InboundCommand) -> None:
        """Answer a command."""
        request = request_of(interaction, inbound.command.name, inbound.arguments)
        if inbound.consent:
            request = consents.approved_request(inbound.consent, request)
        if inbound.command.answers == "asker":
            await self._in_private(interaction, request, inbound)
        elif sentence := closed_to(interaction):
            with ack_repeatedly(interaction):
                await interaction.response.send_message(sentence, ephemeral=True)
        else:
            await self._in_channel(interaction, request, inbound)

    async def ask_author(self, interaction: discord.Interaction, inbound: InboundCommand, author: str) -> None:
        """Ask the author of a message in the channel whether its photos may be used; raises UserError."""
        request = request_of(interaction, inbound.command.name, inbound.arguments)
        photos = [attached.model_dump() for attached in inbound.attached]
        async with in_time(interaction):
            reply = await consents.ask(self.app, request, author, photos)
            named = place_name(self.poster.client, request.space, reply.place)
            rendered = await render(self.app.store, reply, author, named)
        assert rendered.view
        mentions = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(int(author))])
        with ack_repeatedly(interaction):
            await interaction.response.send_message(rendered.content, view=rendered.view, allowed_mentions=mentions)

    async def _in_channel(self, interaction: discord.Interaction, request: Request, inbound: InboundCommand) -> None:
        """Answer for all to see: in a new message, or in place of the one whose button was pressed."""
        fresh = inbound.command.answers == "everyone"
        again = None if inbound.command.takes_photos else request
        post = self._post(interaction, request, inbound.sure, message=inbound.about, fresh=fresh, request=again)
        message = await self._acknowledge(interaction, post, thinking=fresh)
        if inbound.sure:  # the question is answered, and takes no more clicks
            await interaction.delete_original_response()
        elif fresh:  # by its id the message is edited when the interaction's token is dead
            post = post.model_copy(update={"message": message or await original(interaction)})
        await self.follower.answer_with(self._fetch_of(inbound), request, post)

    async def _in_private(self, interaction: discord.Interaction, request: Request, inbound: InboundCommand) -> None:
        """Answer the asker alone, in a message that only they see: a new one, or that of the question before."""
        post = self._post(interaction, request, fresh=False)
        await self._acknowledge(interaction, post, ephemeral=True, thinking=not inbound.sure)
        fetch = self._fetch_of(inbound)
        reply = help_reply() if request.command == "help" else await self.app.last_reply(request, fetch)
        await self.follower.chat.send_ephemeral(post, reply, in_place=True)
        await self.follower.chat.close(post)

    async def _acknowledge(self, interaction: discord.Interaction, post: Post, **how: bool) -> str:
        """Write down that there is something to answer, and acknowledge: a crash then leaves nobody waiting."""
        with suppress(TimeoutError):
            async with in_time(interaction):
                await self.follower.note(post)
        try:
            # Without an acknowledgement there is no message, and each restart would try to edit it.
            return await acknowledge(interaction, **how)
        except Exception:
            await self.follower.chat.close(post)
            raise

    def _post(self, interaction: discord.Interaction, request: Request, /, aside: bool = False, **more: Any) -> Post:
        """A post for the answer; `aside`: the interaction's token edits another message than that of the post."""
        channel = request.thread or request.channel
        where = {"space": request.space, "channel": channel, "user": request.user}
        extra = {"token": interaction.token, **({"aside": "1"} if aside else {})}
        if request.granted:  # what is said in private is for who asked, and not for whose token this is
            extra = {}
        return Post(platform=self.poster.platform, job=request.id, extra=extra, **where, **more)

    def _fetch_of(self, inbound: InboundCommand) -> Fetch | None:
        """What fetches the files of a command; None if it came without."""
        return partial(self._fetched, inbound.attached) if inbound.attached else None

    async def _fetched(self, attached: Sequence[AttachedFile], share: InFlightShare) -> tuple[Upload, ...]:
        """Fetch files from Discord's own hosts; raises UserError if they are too many, or too large together."""
        check_number(len(attached), self.app.settings.photos_max)
        most_bytes = self.app.settings.photo_max_bytes
        share.take(len(attached), sum(min(file.size_bytes, most_bytes) for file in attached))
        # Made on first use: a session belongs to the event loop that runs.
        self._session = self._session or aiohttp.ClientSession()
        return tuple(await asyncio.gather(*(self._file(self._session, file, share.person) for file in attached)))

    async def _file(self, session: aiohttp.ClientSession, file: AttachedFile, person: str) -> Upload:
        most_bytes = self.app.settings.photo_max_bytes
        async with self._fetching.turn(person):
            upload = await fetch_file(
                session, file.name, file.url, hosts=self.hosts, most_bytes=most_bytes, size_bytes=file.size_bytes
            )
        return upload.model_copy(update={"caption": file.caption})
