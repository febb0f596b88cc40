"""Documents of a space, which people add so that questions are answered from them.

    documents/<space>/<name>/record.json         what it is
    documents/<space>/<name>/<sha256>-<id>       its bytes
    documents/<space>/<name>/<sha256>-<id>.json  its text, once a worker has extracted it

Space and name are hashed, because people typed them. A document of the same name replaces the one before, by a
conditional write: of two at once one wins. Names of bytes are never used twice, so that neither deletes the other's.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from storage.contract.base import Stored
from storage.contract.fields import NewerValues, ObjectName, Part, Text
from storage.contract.jobs import Audience
from storage.contract.records import owner_of, parsed_in_part, space_of
from storage.errors import Damaged, Missing, Newer, UserError
from storage.ids import is_id, made_s, new_id, ordered_s
from storage.objects.store import Store
from storage.text import fold, one_line

log = logging.getLogger(__name__)

MediaType = Literal["application/pdf", "text/html", "text/markdown", "text/plain"]
MEDIA_TYPES: dict[str, MediaType] = {  # by the end of a file's name
    ".pdf": "application/pdf",
    ".html": "text/html",
    ".htm": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".rst": "text/plain",
}
PREFIX = "documents/"
NAME_MAX = 200  # characters
DOCUMENT_MAX_BYTES = 32 * 2**20
DOCUMENTS_MAX = 500  # of a space
UNFINISHED_S = 3600.0  # after which bytes without a record are what a crash has left
NOT_YOURS = "There is a document called {name} already, of somebody else."
CHANGED = "Somebody has added or removed a document called {name} at this moment: please add yours again."


class Document(Stored):
    """A document; `shared` says who may be answered from it beside its owner, as with subjects."""

    space: str
    owner: str
    name: Text  # the file's, with folders before it if it came in one
    media_type: str = Field(max_length=100)  # one of MediaType; a newer version may know more
    size_bytes: int = Field(ge=0)
    sha256: Part
    content_key: ObjectName
    shared: Annotated[Audience, NewerValues] = "space"
    shared_with: str = ""
    added_s: float = Field(default_factory=ordered_s)

    @property
    def id(self) -> str:
        """What it is called in its space, whatever its content."""
        return document_id(self.name)

    @property
    def as_read(self) -> str:
        """What jobs call it: the name with the content, so that what replaces it is not quoted in its place."""
        return f"{self.id}-{self.sha256}"

    @property
    def text_key(self) -> str:
        """Name of the object with its text."""
        return f"{self.content_key}.json"


class DamagedDocument(NamedTuple):
    """What is left of a document whose record is damaged: where it is, and what the record still tells."""

    folder: str
    space: str
    owner: str  # empty where the record does not tell

    @property
    def key(self) -> str:
        """Name of the object with its record."""
        return _record_key(self.folder)


def document_id(name: str) -> str:
    """The id of a document in its space: the same for names that people take for one."""
    return hashlib.sha256(fold(name).encode()).hexdigest()[:20]


def documents_prefix(space: str) -> str:
    """Prefix of all objects of a space's documents."""
    return f"{PREFIX}{hashlib.sha256(space.encode()).hexdigest()[:20]}/"


def document_folder(space: str, name: str) -> str:
    """Prefix of all objects of the document of that name in a space."""
    return f"{documents_prefix(space)}{document_id(one_line(name)[:NAME_MAX])}/"


def media_type_of(name: str) -> MediaType | None:
    """The media type of a file by its name; None for one that cannot be a document."""
    ending = f".{name.rpartition('.')[2].lower()}"
    return MEDIA_TYPES.get(ending)


class Documents:
    """The documents in a store. Who may see or delete which is the policy's to say, before any of this is called."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def save(
        self,
        space: str,
        owner: str,
        name: str,
        data: bytes,
        shared: Audience = "space",
        shared_with: str = "",
        may_replace: Callable[[Document], bool] = lambda _: True,
    ) -> Document:
        """Keep a document, instead of the one of that name if there is one; raises UserError.

        `may_replace` says of that one whether it may go.
        """
        name = one_line(name)[:NAME_MAX]
        media_type = _checked(name, data)
        folder = f"{documents_prefix(space)}{document_id(name)}/"
        before, tag = await self._replaced(folder, name, may_replace)
        if not tag and len(await self._record_keys(space)) >= DOCUMENTS_MAX:
            raise UserError(f"There are {DOCUMENTS_MAX} documents here already, which is the limit: delete some first.")
        sha256 = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
        document = Document(
            space=space, owner=owner, name=name, media_type=media_type, size_bytes=len(data), sha256=sha256,
            content_key=f"{folder}{sha256}-{new_id()}", shared=shared, shared_with=shared_with,
        )  # fmt: skip
        await self._store.put(document.content_key, data)
        if not await self._published(folder, document, tag):
            await self._store.delete(document.content_key)
            raise UserError(CHANGED.format(name=name))
        await self._tidy(folder, document, before)
        return document

    async def is_current(self, document: Document) -> bool:
        """Whether a document is there as it was read: neither deleted nor replaced."""
        now = await self._record(_record_key(f"{documents_prefix(document.space)}{document.id}/"))
        return now is not None and now.content_key == document.content_key

    async def _replaced(
        self, folder: str, name: str, may_replace: Callable[[Document], bool]
    ) -> tuple[Document | None, str]:
        """The document that a new one replaces, as far as it can be read, and the tag of its record if there is one.

        Raises UserError.
        """
        key = _record_key(folder)
        try:
            data, tag = await self._store.get(key)
        except Missing:
            return None, ""
        try:
            before = parsed_in_part(Document, data, key)
        except (Damaged, Newer) as error:
            log.warning("a document is replaced: %s", error)
            return None, tag
        if not may_replace(before):
            raise UserError(NOT_YOURS.format(name=name))
        return before, tag

    async def _published(self, folder: str, document: Document, tag: str) -> bool:
        """Write the record, unless somebody else has written one since it was looked at; whether it was written."""
        data = document.model_dump_json().encode()
        if tag:
            return await self._store.replace(_record_key(folder), data, tag)
        return await self._store.put_new(_record_key(folder), data)

    async def _tidy(self, folder: str, document: Document, before: Document | None) -> None:
        """Delete the document before it, and what crashes have left; not what somebody else may just be adding."""
        own = (_record_key(folder), document.content_key, document.text_key)
        replaced = (before.content_key, before.text_key) if before else ()
        for key in await self._store.names(folder):
            if key in replaced or (key not in own and not _is_young(key)):
                await self._store.delete(key)

    async def in_space(self, space: str) -> list[Document]:
        """Documents of a space by name. One whose record is damaged, or of a newer version, is left out."""
        records = await asyncio.gather(*map(self._record, await self._record_keys(space)))
        readable = [each for each in records if each and each.space == space and each.media_type in get_args(MediaType)]
        return sorted(readable, key=lambda document: fold(document.name))

    async def everywhere(self) -> list[Document]:
        """Documents of all spaces, for who deletes what is a person's."""
        keys = [key for key in await self._store.names(PREFIX) if key.endswith("/record.json")]
        return [document for document in [await self._record(key) for key in keys] if document]

    async def find(self, space: str, name: str) -> Document | None:
        """The document of that name in a space."""
        wanted = document_id(one_line(name)[:NAME_MAX])
        return next((each for each in await self.in_space(space) if each.id == wanted), None)

    async def damaged(self, prefix: str = PREFIX) -> list[DamagedDocument]:
        """The documents below a prefix whose records are damaged, which nobody reads and no list shows."""
        damaged = []
        for key in await self._store.names(prefix):
            if key.endswith("/record.json"):
                with suppress(Missing, Newer):
                    data = (await self._store.get(key)).data
                    try:
                        parsed_in_part(Document, data, key)
                    except Damaged:
                        folder = key.removesuffix("record.json")
                        damaged.append(DamagedDocument(folder, space_of(data), owner_of(data)))
        return damaged

    async def delete_damaged(self, document: DamagedDocument) -> None:
        """Delete what is left of a damaged document."""
        await self._store.delete_prefix(document.folder)

    async def read(self, document: Document) -> bytes:
        """Its bytes; raises Missing, and Damaged if they are not what was saved."""
        data = (await self._store.get(document.content_key)).data
        if (await asyncio.to_thread(hashlib.sha256, data)).hexdigest() != document.sha256:
            raise Damaged(f"The document {document.content_key!r} is damaged.")
        return data

    async def delete(self, document: Document) -> None:
        """Delete a document and everything made of it."""
        await self._store.delete_prefix(f"{documents_prefix(document.space)}{document.id}/")

    async def delete_all(self, space: str, owner: str | None = None) -> int:
        """Delete the documents of a space, or those of one person in it; return how many."""
        doomed = [each for each in await self.in_space(space) if owner in (None, each.owner)]
        for document in doomed:
            await self.delete(document)
        for left in await self.damaged(documents_prefix(space)) if owner else ():
            if left.owner == owner:
                await self.delete_damaged(left)
        if owner is None:  # what cannot be read goes, too
            await self._store.delete_prefix(documents_prefix(space))
        return len(doomed)

    async def _record(self, key: str) -> Document | None:
        try:
            return parsed_in_part(Document, (await self._store.get(key)).data, key)
        except Missing:  # deleted meanwhile
            return None
        except (Damaged, Newer) as error:
            log.warning("a document is left out: %s", error)
            return None

    async def _record_keys(self, space: str) -> list[str]:
        return [key for key in await self._store.names(documents_prefix(space)) if key.endswith("/record.json")]


def _record_key(folder: str) -> str:
    return f"{folder}record.json"


def _is_young(key: str) -> bool:
    """Whether bytes, or their text, came so lately that their record may still be to come."""
    id_ = key.removesuffix(".json").rpartition("-")[2]
    return is_id(id_) and time.time() - made_s(id_) < UNFINISHED_S


def _checked(name: str, data: bytes) -> MediaType:
    media_type = media_type_of(name)
    if media_type is None:
        raise UserError(f"{name or 'This file'} cannot be a document: PDF, HTML, Markdown and plain text can.")
    if not data:
        raise UserError(f"{name} is empty.")
    if len(data) > DOCUMENT_MAX_BYTES:
        raise UserError(f"{name} is too large: {DOCUMENT_MAX_BYTES // 2**20} MB is the limit.")
    return media_type
