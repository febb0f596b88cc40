"""Trainings that wait for a word of the person: some photos were refused, and it is theirs to say what now.

A draft is `drafts/<id>/draft.json` with the accepted photos beside it. Nobody answers most questions in the end,
so drafts go after a day.
"""

import asyncio
import time

from bot.arguments.arguments import TrainArguments
from bot.core import policy
from bot.core.context import CommandContext
from bot.core.messages import Button, Reply, Request
from bot.photos.uploads import Upload
from bot.photos.vetting import Vetting
from storage.contract.base import Stored
from storage.contract.records import parsed
from storage.contract.subjects import Photo
from storage.errors import Damaged, Missing, Newer, UserError
from storage.ids import new_id
from storage.objects.store import Store

KEPT_S = 24 * 3600


class Draft(Stored):
    """What was asked for, and the photos that can be used for it."""

    id: str
    space: str
    owner: str
    arguments: TrainArguments
    photos: tuple[Photo, ...]


def prefix(draft: str) -> str:
    """Prefix of everything that belongs to a draft."""
    return f"drafts/{draft}/"


async def keep(bot: CommandContext, request: Request, given: TrainArguments, vetting: Vetting) -> Draft:
    """Write a new draft down."""
    draft = new_id()
    # The record comes last: a draft that can be read has all its photos.
    photos = [await photo.keep(bot.store, f"{prefix(draft)}photos/") for photo in vetting.accepted]
    record = Draft(id=draft, space=request.space, owner=request.user, arguments=given, photos=tuple(photos))
    await bot.store.put(f"{prefix(draft)}draft.json", record.model_dump_json(by_alias=True).encode())
    return record


async def read(store: Store, draft: str) -> Draft:
    """Read a draft; raises Missing, and Damaged or Newer."""
    key = f"{prefix(draft)}draft.json"
    return parsed(Draft, (await store.get(key)).data, key)


def asked_about(reply: Reply) -> str:
    """The id of the draft that a question is about; empty if it is about none."""
    return next((button.arguments["draft"] for button in reply.buttons if "draft" in button.arguments), "")


async def find(bot: CommandContext, request: Request, draft: str) -> Draft:
    """Read a draft of the person who asks; raises UserError if it is gone or somebody else's."""
    try:
        record = await read(bot.store, draft)
    except Missing:
        raise UserError("That question was answered already, or is more than a day old. Please start again.") from None
    except Damaged:
        raise UserError("What was asked there is damaged in the storage. Please send the photos again.") from None
    except Newer:
        raise UserError("That was asked by a newer version of me. Please send the photos again.") from None
    # Ids are hard to guess, but buttons of others are seen and pressed in a channel.
    if not policy.owns(request.actor, record.space, record.owner):
        raise UserError("Only the person who sent these photos can say what becomes of them.")
    return record


async def drop(bot: CommandContext, draft: Draft) -> None:
    """Forget a draft and its photos."""
    await bot.store.delete_prefix(prefix(draft.id))


async def uploads(bot: CommandContext, draft: Draft) -> tuple[Upload, ...]:
    """The photos of a draft as files, to be vetted again together with others."""
    # The photo before it was cropped, where there is one: it is vetted and cropped anew.
    bodies = await asyncio.gather(*(bot.store.get(photo.whole or photo.key) for photo in draft.photos))
    pairs = zip(draft.photos, bodies, strict=True)
    return tuple(Upload(name=photo.name, data=body.data, caption=photo.caption) for photo, body in pairs)


def question(draft: Draft, vetting: Vetting) -> Reply:
    """The reply to photos without a command: what became of them, and a question how to go on."""
    given, came = {"draft": draft.id}, len(vetting.accepted) + len(vetting.refused)
    usable = f"{len(vetting.accepted)} of {came} photos can be used."
    return Reply(
        text=f"{usable} How shall I go on with {draft.arguments.name}?",
        facts={photo.name: photo.reason for photo in vetting.refused},
        buttons=(
            Button(label="Train", command="draft train", arguments=given, style="primary"),
            Button(label="Add photos", command="draft add", arguments=given, form=True),
            Button(label="Cancel", command="draft drop", arguments=given, style="danger"),
        ),
        question=True,
    )


async def sweep(store: Store) -> None:
    """Delete the drafts that nobody came back to; an id begins with its time."""
    # An id begins with its time in ms, as twelve hexadecimal digits: no record need be read.
    oldest = f"{int((time.time() - KEPT_S) * 1000):012x}"
    ids = {name.split("/")[1] for name in await store.names("drafts/")}
    for draft in sorted(ids):
        if draft[:12] < oldest:
            await store.delete_prefix(prefix(draft))
