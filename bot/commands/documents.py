"""The commands about documents, from which questions of a space are answered."""

from functools import partial
from typing import Any

from bot.arguments.arguments import NoArguments
from bot.arguments.ask_arguments import AddDocumentsArguments, DocumentArguments
from bot.commands.command import command
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from bot.photos.uploads import Upload
from storage.ask.documents import DamagedDocument, Document, Documents, document_folder, media_type_of
from storage.ask.pdf_check import pdf_trouble
from storage.errors import UserError
from storage.text import listed, plural

ATTACH = (
    "Attach the documents as files: PDF, HTML, Markdown or text. On Slack, mention me in the message with the files: "
    "@darkroom documents add."
)
NOT_QUOTED = (
    "No answer here quotes it, since more people read answers here than may read it: share it with everybody here, or "
    "add it in a direct message with me."
)
READERS = {"private": "only you", "channel": "this channel", "space": "everybody here"}


@command("documents add", "Add documents that questions are answered from.", takes_documents=True)
async def add_documents(bot: CommandContext, request: Request, given: AddDocumentsArguments) -> ReplyStream:
    """Add documents; one of the same name is replaced, by who may remove it."""
    if not request.uploads:
        raise UserError(ATTACH)
    documents, may_remove = Documents(bot.store), partial(policy.may_remove, actor=request.actor)
    shared: Any = access.shared(request, given.audience, None)
    added, refused = list[Document](), list[str]()
    for upload in request.uploads:
        try:
            if upload.trouble:
                raise UserError(f"{upload.name} {upload.trouble}.")
            if media_type_of(upload.name) == "application/pdf":
                await _check_pdf(bot, request, upload)
            added.append(
                await documents.save(
                    request.space, request.user, upload.name, upload.data, may_replace=may_remove, **shared
                )
            )
        except UserError as error:
            refused.append(str(error))
    if not added:
        raise UserError(" ".join(refused))
    names, readers = listed([document.name for document in added]), READERS.get(shared["shared"], "a group")
    says = f"Added {names}. Ask with /ask; who may read it: {readers}."
    is_quoted = all(policy.may_quote(document, request.actor, request.origin) for document in added)
    yield Reply(text=" ".join([says, *([] if is_quoted else [NOT_QUOTED]), *refused]))


@command("documents list", "List the documents.")
async def list_documents(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """List the documents that the person may read here."""
    known = [
        each for each in await Documents(bot.store).in_space(request.space) if policy.may_read(each, request.actor)
    ]
    if not known:
        yield Reply(text=f"No documents yet, but for Darkroom's own docs. {ATTACH}")
        return
    yield Reply(text=f"{plural(len(known), 'document')}:", facts={each.name: _about(each) for each in known})


@command("documents remove", "Delete a document.")
async def remove_document(bot: CommandContext, request: Request, given: DocumentArguments) -> ReplyStream:
    """Delete a document; answers that quote it stay."""
    documents = Documents(bot.store)
    document = await documents.find(request.space, given.name)
    if not document and (damaged := await _damaged(documents, request, given.name)):
        await documents.delete_damaged(damaged)
        yield Reply(text=f"Removed {given.name}, whose record was damaged.")
        return
    may_remove = document and policy.may_remove(document, request.actor)
    if not document or not (may_remove or policy.may_read(document, request.actor)):
        raise UserError(f"There is no document called {given.name} here.")
    if not may_remove:
        raise UserError("Only the person who added this, or a moderator, can remove it.")
    await documents.delete(document)
    yield Reply(text=f"Removed {document.name}. Answers that quote it stay until they are deleted.")


async def _damaged(documents: Documents, request: Request, name: str) -> DamagedDocument | None:
    """What is left of a document of that name whose record is damaged, if the person may remove it.

    Where nobody can tell who added it, that takes a moderator, but in a conversation of one person.
    """
    for left in await documents.damaged(document_folder(request.space, name)):
        owner = left.owner or (request.user if policy.is_direct(request.space) else "")
        if policy.may_remove_of(request.space, owner, request.actor):
            return left
    return None


async def _check_pdf(bot: CommandContext, request: Request, upload: Upload) -> None:
    """Raise UserError for a PDF that cannot be read; a few are looked at at once, and one of each person."""
    async with bot.pdf_checks.turn(request.person):
        trouble = await pdf_trouble(upload.data)
    if trouble:
        raise UserError(f"{upload.name} {trouble}.")


def _about(document: Document) -> str:
    kind = document.media_type.rpartition("/")[2]
    return f"{kind}, {max(1, document.size_bytes // 1024):,} kB, for {READERS.get(document.shared, 'some')}"
