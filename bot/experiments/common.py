"""What sweeps and evaluations have in common: a TOML file, and many trainings, each done once."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bot.arguments.arguments import ImagineArguments
from bot.arguments.prompts import BRACKET
from bot.arguments.validation import check
from bot.connectors.terminal.connector import Session
from bot.core.local_space import USER
from bot.core.messages import Reply, Request
from bot.photos.uploads import Upload
from storage.contract.recipe import Changes
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.text import fold

File = TypeVar("File", bound=BaseModel)


def read_file(path: Path, kind: type[File], called: str) -> File:
    """Read a series' file; raises UserError in a sentence if it is none."""
    try:
        return kind.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(f"{path} is no {called}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg'].lower()}.") from None
    except ValueError as error:  # of TOML and of encodings
        raise UserError(f"{path} is no TOML file: {error}.") from None


async def ask(session: Session, command: str, given: dict[str, str], uploads: tuple[Upload, ...] = ()) -> Reply:
    """Send a command, and return the last reply to it."""
    request = Request(space=session.space, user=USER, command=command, arguments=given, uploads=uploads, confirmed=True)
    *_, last = [reply async for reply in session.darkroom.answer_to_end(request)]
    return last


def name_of(subject: str, what: object) -> str:
    """What a subject is called that is learned in a certain way: the same whenever it is."""
    # The name is the record of what was done: a second run finds the subject by it, and needs no state of its own.
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return f"{subject[:20]}-{digest[:8]}"


def check_prompt(prompt: str) -> None:
    """Raise UserError unless a prompt has the subject in it, as [V], and nobody else."""
    if {fold(each) for each in BRACKET.findall(prompt)} != {"v"}:
        raise UserError(f"Each prompt has [V] where the subject is to be, and no other; “{prompt}” has not.")
    check(ImagineArguments, {"prompt": prompt})


async def trained_subject(
    session: Session, called: str, noun: str, changes: Changes, photos: tuple[Upload, ...], seed: int = 0
) -> Subject | Reply:
    """Learn a subject, unless that was done before of the same photos by the same base model; a reply if it failed."""
    subjects = session.darkroom.subjects
    # By content, so that a renamed photo is the same and a changed one is not.
    shown = [[hashlib.sha256(photo.data).hexdigest(), photo.caption] for photo in photos]
    name = name_of(called, [session.darkroom.settings.base_model, noun, changes, shown, seed])
    subject = await subjects.find(session.space, name)
    if subject and subject.state == "learning" and subject.job:  # a series before was broken off meanwhile
        async for _ in session.darkroom.watch(subject.job):
            pass
        subject = await subjects.find(session.space, name)
    if not subject or subject.state != "ready":
        typed = " ".join(f"{key}={value}" for key, value in changes.items())
        how = {"name": name, "class": noun, "set": typed, "seed": str(seed)}
        reply = await ask(session, "dreambooth train", how, photos)
        if reply.state != "done":
            return reply
        subject = await subjects.find(session.space, name)
    assert subject
    return subject
