"""The commands about documents, from which questions of a space are answered."""

from typing import Any

from bot.arguments.arguments import NoArguments
from bot.arguments.ask_arguments import AddDocumentsArguments, DocumentArguments
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from storage.ask.documents import Document, Documents
from storage.errors import UserError
from storage.text import listed, plural

ATTACH = (
    "Attach the documents as files: PDF, HTML, Markdown or text. On Slack, mention me in the message with the files: "
    "@darkroom documents add."
)
READERS = {"private": "only you", "channel": "this channel", "space": "everybody here"}


async def add_documents(bot: CommandContext, request: Request, given: AddDocumentsArguments) -> ReplyStream:
    """Add documents; one of the same name is replaced, by who may remove it."""
    if not request.uploads:
        raise UserError(ATTACH)
    documents = Documents(bot.store)
    shared: Any = access.shared(request, given.audience, None)
    added, refused = [], []
    for upload in request.uploads:
        try:
            if upload.trouble:
                raise UserError(f"{upload.name} {upload.trouble}.")
            before = await documents.find(request.space, upload.name)
            if before and not policy.may_remove(before, request.actor):
                raise UserError(f"There is a document called {upload.name} already, of somebody else.")
            await documents.save(request.space, request.user, upload.name, upload.data, **shared)
            added.append(upload.name)
        except UserError as error:
            refused.append(str(error))
    if not added:
        raise UserError(" ".join(refused))
    says = f"Added {listed(added)}. Ask with /ask; who may read it: {READERS[shared['shared']]}."
    yield Reply(text=" ".join([says, *refused]))


async def list_documents(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """List the documents that the person may read here."""
    known = [
        each for each in await Documents(bot.store).in_space(request.space) if policy.may_read(each, request.actor)
    ]
    if not known:
        yield Reply(text=f"No documents yet, but for Darkroom's own docs. {ATTACH}")
        return
    yield Reply(text=f"{plural(len(known), 'document')}:", facts={each.name: _about(each) for each in known})


async def remove_document(bot: CommandContext, request: Request, given: DocumentArguments) -> ReplyStream:
    """Delete a document; answers that quote it stay."""
    documents = Documents(bot.store)
    document = await documents.find(request.space, given.name)
    may_remove = document and policy.may_remove(document, request.actor)
    if not document or not (may_remove or policy.may_read(document, request.actor)):
        raise UserError(f"There is no document called {given.name} here.")
    if not may_remove:
        raise UserError("Only the person who added this, or a moderator, can remove it.")
    await documents.delete(document)
    yield Reply(text=f"Removed {document.name}. Answers that quote it stay until they are deleted.")


def _about(document: Document) -> str:
    kind = document.media_type.rpartition("/")[2]
    return f"{kind}, {max(1, document.size_bytes // 1024):,} kB, for {READERS.get(document.shared, 'some')}"
