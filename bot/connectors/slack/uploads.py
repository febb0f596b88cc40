"""Uploads to Slack: pictures from the store, each once."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from slack_sdk.web.async_client import AsyncWebClient

from bot.connectors.slack.errors import FileGone, chat_errors
from bot.delivery.posts import ChatRefused, NotTaken
from storage.contract.outcomes import Picture
from storage.contract.posted_messages import Posted, home_of, note
from storage.errors import Missing
from storage.objects.store import Store
from storage.text import shorten

ALT_MAX = 1000
UPLOADS_KEPT = 1000  # ids of uploaded pictures that are remembered, for messages that have to be tried again


class UploadRefused(NotTaken):
    """Slack does not take pictures, or not these, however often they are sent."""


class PictureUploads:
    """Uploads pictures from the store."""

    def __init__(self, client: AsyncWebClient, store: Store) -> None:
        self.client, self.store = client, store
        self._uploaded: dict[str, str] = {}  # ids by key, the newest last

    async def ids(self, pictures: Sequence[Picture], known: Mapping[str, str]) -> dict[str, str]:
        """Slack's ids of the pictures by key; what is not `known` is uploaded once, to be seen only in blocks."""
        # A message that is tried again shows the same uploads: Slack would keep every further copy in the workspace.
        known = {**self._uploaded, **known}
        new = [picture for picture in pictures if picture.key not in known]
        file_ids = {picture.key: known[picture.key] for picture in pictures if picture.key in known}
        uploaded = await self._upload(new) if new else {}
        self._uploaded |= uploaded
        for key in list(self._uploaded)[:-UPLOADS_KEPT]:
            del self._uploaded[key]
        return file_ids | uploaded

    def forget(self, pictures: Sequence[Picture]) -> None:
        """Forget uploads that are of no use."""
        for picture in pictures:
            self._uploaded.pop(picture.key, None)

    async def put_into(self, pictures: Sequence[Picture], channel: str, thread: str) -> None:
        """Upload pictures into a thread, where they are seen by themselves; raises UploadRefused."""
        if pictures:
            await self._upload(pictures, channel=channel, thread_ts=thread)

    async def _upload(self, pictures: Sequence[Picture], **place: str) -> dict[str, str]:
        read = zip(pictures, await asyncio.gather(*map(self._read, pictures)), strict=True)
        there = [(picture, data) for picture, data in read if data is not None]
        if not there:
            return {}
        uploads = [
            {
                "file": data,
                "filename": picture.key.rpartition("/")[2],
                "title": shorten(picture.caption or "picture", 100),
                "alt_txt": shorten(picture.caption or "picture", ALT_MAX),
            }
            for picture, data in there
        ]
        try:
            with chat_errors():
                # One completion for all of them: each would count against Slack's rate limit.
                done = await self.client.files_upload_v2(file_uploads=uploads, **place)  # type: ignore[arg-type]
        except ChatRefused as error:
            raise UploadRefused(error, error.says) from error
        ids = [file["id"] for file in done["files"]]
        # Noted before the message is posted: an upload that no message shows must also go when its job is deleted.
        for (picture, _), file in zip(there, ids, strict=True):
            await note(self.store, home_of(picture.key), Posted(platform="slack", file=file))
        return {picture.key: file for (picture, _), file in zip(there, ids, strict=True)}

    async def delete(self, file: str) -> None:
        """Delete an upload; one that is gone is no error. Raises ChatRefused and ChatTrouble."""
        # Not to be shown again: other pictures of the same job stay, and are uploaded anew.
        self._uploaded = {key: known for key, known in self._uploaded.items() if known != file}
        with suppress(FileGone), chat_errors():
            await self.client.files_delete(file=file)

    async def _read(self, picture: Picture) -> bytes | None:
        """The bytes of a picture; None if it was deleted meanwhile."""
        try:
            return (await self.store.get(picture.key)).data
        except Missing:
            return None
