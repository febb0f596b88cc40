"""The last word on a training: a contact sheet of photos and samples, and what to do next."""

import asyncio
import io

from PIL import Image

from bot.core.context import CommandContext
from bot.core.messages import Reply
from bot.core.policy import is_direct
from bot.delivery.contact_sheet import SheetRow, contact_sheet
from storage.contract.jobs import Job
from storage.contract.outcomes import Picture
from storage.nouns import with_article
from storage.objects.store import Store

PHOTOS = 6  # on the sheet at most


async def announcement(app: CommandContext, job: Job, reply: Reply) -> Reply:
    """Return `reply` with the contact sheet of a training that ended well; as it is if there is none to make.

    The photos are on it in direct messages, and elsewhere where the settings say so. Raises StoreError.
    """
    subject = await app.subject_of(job)
    if reply.state != "done" or not subject or not reply.pictures:
        return reply
    if reply.pictures[0] in (subject.choices, subject.compared):  # people choose by it, so it stays as large as it is
        return reply
    with_photos = app.settings.photos_in_public or is_direct(job.space)
    photos = await _pictures(app.store, [photo.key for photo in subject.photos[:PHOTOS]] if with_photos else [])
    samples = await _pictures(app.store, [picture.key for picture in reply.pictures])
    captions = tuple(picture.caption for picture in reply.pictures)
    rows = [SheetRow("photos", "The photos", photos)] if photos else []
    rows.append(SheetRow("samples", "What was learned", samples, captions))
    sheet = await asyncio.to_thread(contact_sheet, rows)
    key = f"jobs/{job.id}/sheet.png"
    await app.store.put(key, _png(sheet))
    what = f"{subject.name}: what was learned from the photos of {with_article(subject.noun)}"
    if photos:
        what = f"{subject.name}: the photos of {with_article(subject.noun)} and what was learned from them"
    picture = Picture(key=key, width_px=sheet.width, height_px=sheet.height, caption=what)
    return reply.model_copy(update={"grid": picture})


def brief(reply: Reply) -> Reply:
    """What stays on the message that showed the progress, once the announcement is made."""
    return Reply(text=reply.text, state=reply.state, fault=reply.fault, job=reply.job, place=reply.place)


async def _pictures(store: Store, keys: list[str]) -> list[Image.Image]:
    bodies = await asyncio.gather(*(store.get(key) for key in keys))
    return [Image.open(io.BytesIO(body.data)) for body in bodies]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
