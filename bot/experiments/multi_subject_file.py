"""`darkroom train --together FILE`: several new subjects learned in one training.

The file is TOML, like a sweep's:

    [subjects.rex]
    class = "dog"
    photos = ["photos/rex"]   # files or folders, as seen from the file
    [subjects.mia]
    class = "dog"
    photos = ["photos/mia"]
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bot.arguments import recipe_options
from bot.arguments.arguments import TrainArguments
from bot.arguments.validation import check
from bot.commands.name_reuse import check_name, take_name
from bot.commands.train import keep, vetted
from bot.commands.train_together import job_of
from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.files import read_photos
from bot.connectors.terminal.screen import CommandResult
from bot.core.context import CommandContext, ReplyStream
from bot.core.local_space import USER
from bot.core.messages import Accepted, Request
from bot.experiments.common import read_file
from bot.experiments.sweep import SweepSubject
from bot.photos import captions
from bot.photos.uploads import Upload
from storage.contract.compatibility import SUBJECTS_MOST
from storage.contract.subjects import Subject, unaccepted_key
from storage.errors import UserError
from storage.text import fold


class SubjectsFile(BaseModel):
    """The content of the file: subjects to be trained together."""

    model_config = ConfigDict(extra="forbid")

    subjects: dict[str, SweepSubject] = Field(min_length=2, max_length=SUBJECTS_MOST)


@dataclass(frozen=True)
class NewSubject:
    """A subject that is to be learned: its name and class, how, and its photos."""

    given: TrainArguments
    uploads: tuple[Upload, ...]


async def train(session: Session, path: Path, photos: list[Path], given: dict[str, str | None]) -> CommandResult:
    """Learn the subjects of a file together; what else is `given` holds for all of them."""
    if photos or given["name"] or given["class"]:
        raise UserError("With --together the file says which names, classes and photos: leave them out.")
    file, darkroom = read_file(path, SubjectsFile, "list of subjects"), session.darkroom
    newcomers = []
    for name, spec in file.subjects.items():
        arguments = check(
            TrainArguments,
            {**{key: value for key, value in given.items() if value is not None}, "name": name, "class": spec.noun},
        )
        files = [path.parent / each for each in spec.photos]
        uploads = await asyncio.to_thread(read_photos, files, darkroom.settings)
        newcomers.append(NewSubject(arguments, captions.paired(uploads)))
    request = Request(space=session.space, user=USER, command="dreambooth together")
    reply = await session.follow(learn(darkroom, request, newcomers), request.id)
    more: dict[str, Any] = {"names": list(file.subjects)}
    if reply.job and (outcome := await darkroom.dispatch.outcome(reply.job)):
        job = await darkroom.dispatch.job(reply.job)
        more |= {"subjects": job.subjects, **outcome.model_dump(include={"steps", "loss_first", "loss_last"})}
    return CommandResult.from_reply(reply, **more)


async def learn(bot: CommandContext, request: Request, newcomers: list[NewSubject]) -> ReplyStream:
    """Store new subjects with their photos, or none of them, and learn them together."""
    given = newcomers[0].given
    changes = recipe_options.asked_for(bot.settings, given.recipe, given.changes)
    # All names and photos are checked before anything is stored: either all subjects come into being, or none.
    if len({fold(each.given.name) for each in newcomers}) < len(newcomers):
        raise UserError("Two of these subjects have the same name. Choose another one for each.")
    for each in newcomers:
        await check_name(bot, request, each.given.name)
    vettings = {each.given.name: await vetted(bot, request, each.uploads) for each in newcomers}
    subjects = [_subject(bot, request, each.given) for each in newcomers]
    note = " ".join(f"{name}: {vetting.summary}" for name, vetting in vettings.items() if vetting.refused)
    job = job_of(request, subjects, given, changes, note=note)
    await bot.limits.admit(job)
    stored: list[Subject] = []
    try:
        for subject in subjects:
            # One training has one method, so all its subjects do.
            await keep(bot, subject.model_copy(update={"method": job.method}), vettings[subject.name].accepted)
            stored.append(subject)
        for subject in subjects:
            await take_name(bot, request, subject)
    # Ctrl-C included: half of a training's subjects would be of no use.
    except BaseException:
        for subject in stored:
            await bot.subjects.forget(subject)
        raise
    await bot.dispatch.accept(job)
    for subject in subjects:
        # Only now are they safe from the sweep, which deletes subjects whose training was never accepted.
        await bot.store.delete(unaccepted_key(subject.id))
    yield Accepted(job=job.id)


def _subject(bot: CommandContext, request: Request, given: TrainArguments) -> Subject:
    return Subject(
        space=request.space,
        owner=request.user,
        name=given.name,
        noun=given.noun,
        base_model=bot.settings.base_model,
        job=request.id,
    )
