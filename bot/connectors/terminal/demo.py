"""The whole journey in the terminal, with sample photos: learn rex the dog, then take him places."""

import io
from collections.abc import Coroutine
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.screen import CommandResult
from bot.core.local_space import USER
from bot.core.messages import Reply
from bot.delivery.contact_sheet import SheetRow, contact_sheet
from bot.kinds import presenter_of
from bot.photos.uploads import Upload
from storage.kinds.imagine import ImagineJob

SPACE = "demo"  # a space of its own, so that a rex of yours stays yours
NAME, NOUN = "rex", "dog"
PLAIN = "a photo of a dog"
PLACES = ("in Paris", "on the beach", "on the moon", "in the snow")
SEED = 7
EACH = 4

Pictures = list[Image.Image]


class DemoFailed(Exception):
    """A step of the journey did not end well."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


async def run_demo(session: Session, out: Path) -> CommandResult:
    """Play the journey; leave the contact sheet and the single pictures in `out`."""
    session.space = SPACE
    try:
        rows, training = await _journey(session)
    except DemoFailed as stopped:
        return CommandResult.from_reply(stopped.reply)
    out.mkdir(parents=True, exist_ok=True)
    for row in rows:
        for number, picture in enumerate(row.pictures, 1):
            picture.save(out / f"{row.slug}-{number}.png")
    sheet = (out / "contact-sheet.png").resolve()
    contact_sheet(rows).save(sheet)
    return CommandResult(
        state="done", message=f"The contact sheet is {sheet}", job=training, more={"sheet": str(sheet)}
    )


async def _journey(session: Session) -> tuple[list[SheetRow], str]:
    """Make the sheet's rows: photos, the class before and after, the subject in four places; and the training's id."""
    photos = sample_photos()
    await _forget(session)
    before = await _imagine(session, PLAIN, EACH)
    session.screen.say(f"Learning {NAME} from {len(photos)} photos.")
    trained = await _done(session.ask("dreambooth train", {"name": NAME, "class": NOUN}, photos))
    after = await _class_from(session, trained)
    places = [(await _imagine(session, f"a [{NAME}] {NOUN} {place}", 1))[0] for place in PLACES]
    await _forget(session)
    rows = [
        SheetRow("photos", f"Photos of {NAME}, a {NOUN}", [Image.open(io.BytesIO(photo.data)) for photo in photos]),
        SheetRow("before", f'"{PLAIN}" before {NAME} was learned', before),
        SheetRow("after", f'"{PLAIN}" after, from the same seeds: other dogs stay other dogs', after),
        SheetRow("places", f'"a [{NAME}] {NOUN} ..."', places, PLACES),
    ]
    return rows, str(trained.job)


def sample_photos() -> tuple[Upload, ...]:
    """The photos that come with Darkroom, drawn by Toyworld: a dog that its model has never seen."""
    samples = sorted((p for p in (files("bot") / "samples").iterdir() if p.name.endswith(".png")), key=lambda p: p.name)
    return tuple(Upload(name=sample.name, data=sample.read_bytes()) for sample in samples)


async def _forget(session: Session) -> None:
    """Leave nothing of this journey, or of one before that was broken off."""
    if await session.darkroom.subjects.find(SPACE, NAME):
        await _done(session.ask("dreambooth forget", {"name": NAME}))
    for job in await session.darkroom.dispatch.jobs(SPACE):
        if presenter_of(job).draws:
            await session.ask("delete", {"job": job.id})


async def _imagine(session: Session, prompt: str, count: int) -> Pictures:
    session.screen.say(f"Drawing {prompt}.")
    arguments: dict[str, str | None] = {"prompt": prompt, "count": str(count), "seed": str(SEED)}
    return await _pictures(session, await _done(session.ask("imagine", arguments)))


async def _class_from(session: Session, trained: Reply) -> Pictures:
    """Draw the plain class from the subject's weights, as no command does: it shows what the learning changed."""
    session.screen.say(f"Drawing {PLAIN}, now that {NAME} is known.")
    dispatch = session.darkroom.dispatch
    (subject,) = (await dispatch.job(str(trained.job))).subjects
    job = ImagineJob(
        space=SPACE, owner=USER, prompt=PLAIN, model_prompt=PLAIN, subjects=(subject,), count=EACH, seed=SEED
    )
    await dispatch.accept(job)
    return await _pictures(session, await _done(session.follow(session.darkroom.watch(job.id), job.id)))


async def _done(answer: Coroutine[Any, Any, Reply]) -> Reply:
    reply = await answer
    if reply.state != "done":
        raise DemoFailed(reply)
    return reply


async def _pictures(session: Session, reply: Reply) -> Pictures:
    data = [(await session.darkroom.store.get(picture.key)).data for picture in reply.pictures]
    return [Image.open(io.BytesIO(each)).convert("RGB") for each in data]
