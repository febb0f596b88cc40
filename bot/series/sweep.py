"""Sweeps: a grid of recipes over some subjects, learned through the queue; one table, one contact sheet.

A sweep is a TOML file:

    prompts = ["a [V] dog in Paris"]   # drawn of each, from the same seed
    [subjects.rex]
    class = "dog"
    photos = ["photos/rex"]            # files or folders, as seen from the file
    [grid]
    method = ["full", "lora"]
    steps = [200, 400]

What a sweep that was broken off has learned is not learned again.
"""

import asyncio
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from bot.asking import recipes
from bot.following.contact_sheet import Row, contact_sheet
from bot.messages import Reply, Upload
from bot.on_terminal import Session, read_photos
from bot.series import common
from bot.terminal.screen import Result
from storage.errors import UserError
from storage.jobs import Picture
from storage.recipe import Changes
from storage.subjects import Subject

SPACE = "sweep"
MEASURED = ("likeness", "portrait", "obedience", "hijacked", "diversity")
TRAININGS_MOST = 200


class Sitter(BaseModel):
    """One subject of a sweep."""

    model_config = ConfigDict(extra="forbid")

    noun: str = Field(alias="class")
    photos: list[Path]


class Plan(BaseModel):
    """A sweep, as its file says it."""

    model_config = ConfigDict(extra="forbid")

    subjects: dict[str, Sitter] = Field(min_length=1)
    grid: dict[str, list[str | int | float | bool]] = {}
    prompts: list[str] = ["a photo of [V]"]
    seed: int = 0

    def runs(self) -> Iterator[tuple[str, Changes]]:
        """Each subject with each combination of the grid; raises UserError for what no recipe can be."""
        for values in itertools.product(*self.grid.values()):
            changes = recipes.checked(dict(zip(self.grid, values, strict=True)))
            yield from ((name, changes) for name in self.subjects)


class Run(BaseModel):
    """One training of a sweep, and what came of it."""

    subject: str
    changes: Changes
    state: str
    message: str = ""
    seconds: float = 0.0
    steps: int | None = None
    loss_last: float | None = None
    metrics: dict[str, float] = {}
    pictures: tuple[Picture, ...] = Field((), exclude=True)


def read_plan(path: Path) -> Plan:
    """Read a sweep's file; raises UserError in a sentence if it is none."""
    plan = common.read_file(path, Plan, "sweep")
    if (number := len(list(plan.runs()))) > TRAININGS_MOST:
        raise UserError(f"{path} asks for {number} trainings; {TRAININGS_MOST} is the most in one sweep.")
    return plan


async def play(session: Session, path: Path, out: Path, keep: bool) -> Result:
    """Run a sweep; leave `sweep.json`, `sweep.md` and `contact-sheet.png` in `out`."""
    plan, darkroom = read_plan(path), session.darkroom
    common.enter(session, SPACE)
    photos = {
        name: await asyncio.to_thread(read_photos, [path.parent / each for each in sitter.photos], darkroom.settings)
        for name, sitter in plan.subjects.items()
    }
    places = asyncio.Semaphore(darkroom.settings.trainings_per_person)
    session.stack.need_worker()

    async def one(name: str, changes: Changes) -> Run:
        async with places:
            run = await _run(session, plan, name, changes, photos[name])
            session.screen.say(f"{name}, {in_words(changes)}: {run.message or run.state}")
            return run

    runs = await asyncio.gather(*(one(name, changes) for name, changes in plan.runs()))
    out.mkdir(parents=True, exist_ok=True)
    (out / "sweep.json").write_text(json.dumps([run.model_dump() for run in runs], indent=1))
    (out / "sweep.md").write_text(table(runs))
    if rows := [await _row(session, run) for run in runs if run.pictures]:
        contact_sheet(rows).save(out / "contact-sheet.png")
    learned = [_name(run) for run in runs if run.pictures and not keep]
    await asyncio.gather(*(common.ask(session, "dreambooth forget", {"name": name}) for name in learned))
    failed = sum(run.state != "done" for run in runs)
    message = f"{len(runs)} trainings, {failed} of them failed: {out.resolve()} has a table and a contact sheet."
    state: Any = "failed" if failed else "done"
    return Result(state=state, message=message, code=int(bool(failed)), more={"runs": [r.model_dump() for r in runs]})


async def _run(session: Session, plan: Plan, name: str, changes: Changes, photos: tuple[Upload, ...]) -> Run:
    """Learn one subject with one recipe, unless that was done before, and draw it."""
    run = Run(subject=name, changes=changes, state="done")
    subject = await common.learned(session, _name(run), plan.subjects[name].noun, changes, photos)
    if isinstance(subject, Reply):
        return run.model_copy(update={"state": subject.state, "message": subject.text})
    assert subject.job
    outcome = await session.darkroom.dispatch.outcome(subject.job)
    facts = outcome.model_dump(include={"seconds", "steps", "loss_last"}) if outcome else {}
    drawn = await _drawn(session, plan, subject)
    return run.model_copy(update={**facts, "metrics": subject.metrics, "pictures": drawn})


async def _drawn(session: Session, plan: Plan, subject: Subject) -> tuple[Picture, ...]:
    pictures: list[Picture] = []
    for prompt in plan.prompts:
        given = {"prompt": prompt.replace("[V]", f"[{subject.name}]"), "seed": str(plan.seed), "count": "1"}
        pictures += (await common.ask(session, "imagine", given)).pictures
    return tuple(pictures) or subject.samples[-1:]


async def _row(session: Session, run: Run) -> Row:
    data = [(await session.darkroom.store.get(picture.key)).data for picture in run.pictures]
    return Row("", f"{run.subject}: {in_words(run.changes)}", [Image.open(io.BytesIO(each)) for each in data])


def _name(run: Run) -> str:
    """What the subject of a run is called: the same whenever it is run."""
    return common.name_of(run.subject, run.changes)


def in_words(changes: Changes) -> str:
    """Changes of a recipe, for titles."""
    return ", ".join(f"{name} {value}" for name, value in changes.items()) or "the usual recipe"


def table(runs: list[Run]) -> str:
    """The runs as a table in Markdown."""
    measured = [name for name in MEASURED if any(name in run.metrics for run in runs)]
    names = ["subject", "recipe", "state", "seconds", "last loss", *measured]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for run in runs:
        loss = "" if run.loss_last is None else f"{run.loss_last:.4f}"
        told = [f"{run.metrics[name]:.2f}" if name in run.metrics else "" for name in measured]
        cells = [run.subject, in_words(run.changes), run.message or run.state, f"{run.seconds:.0f}", loss, *told]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
