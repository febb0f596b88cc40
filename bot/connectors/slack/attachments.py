"""Files that people attach on Slack: fetched, or why they are not to be had."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from tenacity import AsyncRetrying, retry_if_exception_type, stop_before_delay

from bot.connectors.slack.client import TIMEOUT_S
from bot.connectors.slack.errors import chat_errors
from bot.delivery.posts import ChatRefused, ChatTrouble
from bot.delivery.reliable_poster import pause_s
from bot.photos.declared_type import may_be_photo, spoken_name
from bot.photos.fair_slots import FairSlots
from bot.photos.fetch import AT_ONCE, EACH_AT_ONCE, FileHosts, fetch_file
from bot.photos.in_flight import InFlightShare
from bot.photos.uploads import Upload
from storage.errors import UserError
from storage.settings.bot import BotSettings

HOSTS = {"files.slack.com", "files.slack-gov.com"}

WITHHELD = {  # by `mode` and `file_access` of https://docs.slack.dev/reference/objects/file-object
    "tombstone": "was deleted",
    "hidden_by_limit": "is hidden by Slack, whose plan for this workspace shows only newer files",
    "external": "is kept outside Slack, so I cannot fetch it: please attach the photo itself",
    "access_denied": "is not shown to me by Slack",
    "file_not_found": "is gone",
}

File = Mapping[str, Any]  # as Slack describes it


class Attachments:
    """Fetches what people attach, with the bot's token, which goes to Slack's own hosts only."""

    def __init__(self, client: AsyncWebClient, http: aiohttp.ClientSession, settings: BotSettings) -> None:
        self.client, self.http, self.most_bytes = client, http, settings.photo_max_bytes
        self.hosts = FileHosts(HOSTS, settings.slack_api_url)
        self._fetching = FairSlots(AT_ONCE, each=EACH_AT_ONCE)

    async def fetch(self, files: Sequence[File], share: InFlightShare) -> tuple[Upload, ...]:
        """Download files, in their order; raises UserError if they are too large together."""
        # Counted by the announced size before anything is downloaded, so that memory stays bounded.
        share.take(len(files), sum(self._size_bytes(file) for file in files))
        return tuple(await asyncio.gather(*(self._in_turn(file, share) for file in files)))

    async def _in_turn(self, file: File, share: InFlightShare) -> Upload:
        async with self._fetching.turn(share.person):
            return await self._one(file, share)

    def _size_bytes(self, file: File) -> int:
        """How large Slack says that a file is, of one that is too large as much as is fetched; 0 if it does not say."""
        return min(int(file.get("size") or 0), self.most_bytes)

    async def _one(self, file: File, share: InFlightShare) -> Upload:
        try:
            # Files of a form and of shared channels come without size and URL; looking them up costs a request each.
            known = await self._info(file["id"]) if _lacks_type(file) else file
            if known is not file:
                share.take(0, self._size_bytes(known) - self._size_bytes(file))
        except UserError as error:
            return Upload(name=str(file.get("name", "")), trouble=f"was not fetched: {error}".removesuffix("."))
        except (ChatTrouble, ChatRefused) as error:
            return Upload(name=str(file.get("name", "")), trouble=f"is not shown to me by Slack ({error})")
        if why := withheld(known):
            return Upload(name=str(known.get("name") or ""), trouble=why)
        upload = await fetch_file(
            self.http,
            str(known.get("name", "")),
            _link(known),
            hosts=self.hosts,
            most_bytes=self.most_bytes,
            size_bytes=int(known.get("size") or 0),
            timeout_s=TIMEOUT_S,
            # Slack serves files only to the token; `hosts` makes sure that it goes nowhere else.
            headers={"Authorization": f"Bearer {self.client.token}"},
        )
        return upload.model_copy(update={"caption": str(known.get("alt_txt") or "")})

    async def _info(self, file_id: str) -> File:
        """Look up a file of which an event has only the id; raises ChatRefused, and ChatTrouble after some tries."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ChatTrouble), wait=pause_s, stop=stop_before_delay(TIMEOUT_S), reraise=True
        )

        async def once() -> File:
            with chat_errors():
                return dict((await self.client.files_info(file=file_id))["file"])

        return await retrying(once)


def _lacks_type(file: File) -> bool:
    """Whether a file object has little more than an id, as in channels shared with other companies, or in a form."""
    return file.get("file_access") == "check_file_info" or not (_link(file) or withheld(file))


def withheld(file: File) -> str:
    """Why Slack does not have or give a file, as the rest of a sentence that begins with its name; empty if it does."""
    # `file_access` counts for more than `mode`: it says what this bot may do, and not what the file is.
    if file.get("file_access") in WITHHELD:
        return WITHHELD[file["file_access"]]
    if file.get("mode") in WITHHELD:
        return WITHHELD[file["mode"]]
    return WITHHELD["external"] if file.get("is_external") else ""


def other_than_photo(file: File) -> str:
    """What a file is called in a sentence that surely is no photo, or is not to be had; empty if it may be one."""
    name, kind = str(file.get("name") or ""), str(file.get("mimetype") or "")
    if why := withheld(file):
        return f"a file that {why}"
    if file.get("subtype") == "slack_audio":
        return "a voice message"
    if file.get("subtype") == "slack_video":
        return "a video"
    return "" if may_be_photo(name, kind) else spoken_name(name, kind)


def files_of(message: Mapping[str, Any]) -> tuple[Sequence[File], str]:
    """The files of a message and who posted them: its own, else those of a message that it forwards."""
    parts = [(message, message.get("user"))]
    parts += [(part, part.get("author_id")) for part in message.get("attachments") or [] if part.get("is_share")]
    part, person = next((each for each in parts if each[0].get("files")), parts[0])
    return part.get("files") or [], str(person or "")


def _link(file: File) -> str:
    """Where a file can be fetched; empty if Slack does not say."""
    return str(file.get("url_private_download") or file.get("url_private") or "")
