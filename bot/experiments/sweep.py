"""Sweeps: a grid of recipes over some subjects, learned through the queue; one table, one contact sheet.

A sweep is a TOML file:

    prompts = ["a [V] dog in Paris"]   # drawn of each, from the same seed
    [subjects.rex]
    class = "dog"
    photos = ["photos/rex"]            # files or folders, as seen from the file
    [grid]
    method = ["full", "lora"]
    steps = [200, 400]
    recipe = ["", "gentle"]            # presets; "" is none
    seed = [0, 1]                      # of the training

What a sweep that was broken off has learned is not learned again.
"""

import asyncio
import io
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from bot.arguments import recipe_options
from bot.arguments.arguments import TrainArguments
from bot.arguments.prompts import BRACKET, V
from bot.arguments.validation import check
from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.files import read_photos
from bot.connectors.terminal.screen import CommandResult
from bot.core.messages import Reply
from bot.delivery.contact_sheet import SheetRow, contact_sheet
from bot.experiments import common
from bot.photos.uploads import Upload
from storage.contract.outcomes import Picture
from storage.contract.recipe import Changes
from storage.contract.subjects import Subject
from storage.errors import UserError

SPACE = "sweep"
MEASURED = ("likeness", "portrait", "obedience", "hijacked", "diversity")
TRAININGS_MOST = 200
PRESET, SEED = "recipe", "seed"  # of the grid: what is no number of the recipe


class SweepSubject(BaseModel):
    """One subject of a sweep."""

    model_config = ConfigDict(extra="forbid")

    noun: str = Field(alias="class")
    photos: list[Path]


class SweepPlan(BaseModel):
    """A sweep, as its file says it."""

    model_config = ConfigDict(extra="forbid")

    subjects: dict[str, SweepSubject] = Field(min_length=1)
    grid: dict[str, list[str | int | float | bool]] = {}
    prompts: list[str] = Field(["a photo of [V]"], min_length=1)
    seed: int = 0

    def combinations(self, presets: Path) -> Iterator["SweepVariant"]:
        """Each combination of the grid; raises UserError for what no recipe can be."""
        for values in itertools.product(*self.grid.values()):
            asked = dict(zip(self.grid, values, strict=True))
            rest = {name: value for name, value in asked.items() if name not in (PRESET, SEED)}
            changes = recipe_options.merged(presets, str(asked.get(PRESET, "")), rest)
            yield SweepVariant(asked, changes, asked.get(SEED, 0))

    def runs(self, presets: Path) -> Iterator[tuple[str, "SweepVariant"]]:
        """Each subject with each combination."""
        return ((name, variant) for variant in self.combinations(presets) for name in self.subjects)


class SweepVariant(NamedTuple):
    """How a subject is learned: what the grid says, and what that changes in the recipe."""

    asked: Changes
    changes: Changes
    seed: Any  # as it was written


class SweepRun(BaseModel):
    """One training of a sweep, and what came of it."""

    subject: str
    changes: Changes
    state: str
    message: str = ""
    seconds: float = 0.0
    steps: int | None = None
    loss_last: float | None = None
    metrics: dict[str, float] = {}
    learned: str = Field("", exclude=True)  # what it is called in the sweep's own space
    pictures: tuple[Picture, ...] = Field((), exclude=True)


def read_plan(path: Path, presets: Path) -> SweepPlan:
    """Read a sweep's file; raises UserError in a sentence if it is none, or asks for what cannot be."""
    plan = common.read_file(path, SweepPlan, "sweep")
    number = len(plan.subjects) * math.prod(map(len, plan.grid.values()))
    if number > TRAININGS_MOST:
        raise UserError(f"{path} asks for {number} trainings; the limit for one sweep is {TRAININGS_MOST}.")
    # Everything is checked before the first training: a typo in the last row must not cost hours.
    for name, variant in plan.runs(presets):
        check(TrainArguments, {"name": name, "class": plan.subjects[name].noun, "seed": str(variant.seed)})
    for prompt in plan.prompts:
        common.check_prompt(prompt)
        # A bare [V] would show nothing that the photos do not, and differences between recipes least of all.
        if not BRACKET.sub("", prompt).strip(" ,."):
            raise UserError(f"Say more than {prompt}: where it is or what it does, like: a [V] in Paris.")
    return plan


async def run_sweep(session: Session, path: Path, out: Path, keep: bool) -> CommandResult:
    """Run a sweep; leave `sweep.json`, `sweep.md` and `contact-sheet.png` in `out`."""
    darkroom = session.darkroom
    plan = read_plan(path, darkroom.settings.recipes_folder)
    session.space = SPACE
    photos = {
        name: await asyncio.to_thread(read_photos, [path.parent / each for each in sitter.photos], darkroom.settings)
        for name, sitter in plan.subjects.items()
    }
    # More would be refused by the quota, which counts these like anybody's.
    places = asyncio.Semaphore(darkroom.settings.trainings_per_person)
    session.stack.need_worker()

    async def one(name: str, variant: SweepVariant) -> SweepRun:
        async with places:
            run = await _run(session, plan, name, variant, photos[name])
            session.screen.say(f"{name}, {in_words(variant.asked)}: {run.message or run.state}")
            return run

    runs = await asyncio.gather(*(one(name, variant) for name, variant in plan.runs(darkroom.settings.recipes_folder)))
    out.mkdir(parents=True, exist_ok=True)
    (out / "sweep.json").write_text(json.dumps([run.model_dump() for run in runs], indent=1))
    (out / "sweep.md").write_text(table(runs))
    if rows := [await _row(session, run) for run in runs if run.pictures]:
        contact_sheet(rows).save(out / "contact-sheet.png")
    failed = sum(run.state != "done" for run in runs)
    # After a failure they are what a second run resumes from.
    if not (failed or keep):
        learned = [run.learned for run in runs]
        await asyncio.gather(*(common.ask(session, "dreambooth forget", {"name": name}) for name in learned))
    goes_on = " Run the same command again to resume with those." if failed else ""
    there = f"{out.resolve()} has a table and a contact sheet."
    message = f"{len(runs)} trainings, {failed} of them failed: {there}{goes_on}"
    state: Any = "failed" if failed else "done"
    return CommandResult(
        state=state, message=message, code=int(bool(failed)), more={"runs": [r.model_dump() for r in runs]}
    )


async def _run(
    session: Session, plan: SweepPlan, name: str, variant: SweepVariant, photos: tuple[Upload, ...]
) -> SweepRun:
    """Learn one subject by one variant, unless that was done before, and draw it."""
    run, noun = SweepRun(subject=name, changes=variant.asked, state="done"), plan.subjects[name].noun
    subject = await common.trained_subject(session, name, noun, variant.changes, photos, int(variant.seed))
    if isinstance(subject, Reply):
        return run.model_copy(update={"state": subject.state, "message": subject.text})
    assert subject.job
    outcome = await session.darkroom.dispatch.outcome(subject.job)
    facts = outcome.model_dump(include={"seconds", "steps", "loss_last"}) if outcome else {}
    run = run.model_copy(update={**facts, "metrics": subject.metrics, "learned": subject.name})
    drawn = [await _draw(session, plan, subject, prompt) for prompt in plan.prompts]
    for reply in drawn:
        if reply.state != "done":
            return run.model_copy(update={"state": reply.state, "message": reply.text})
    return run.model_copy(update={"pictures": tuple(picture for reply in drawn for picture in reply.pictures)})


async def _draw(session: Session, plan: SweepPlan, subject: Subject, prompt: str) -> Reply:
    given = {"prompt": V.sub(f"[{subject.name}]", prompt), "seed": str(plan.seed)}
    return await common.ask(session, "imagine", {**given, "count": "1"})


async def _row(session: Session, run: SweepRun) -> SheetRow:
    data = [(await session.darkroom.store.get(picture.key)).data for picture in run.pictures]
    return SheetRow("", f"{run.subject}: {in_words(run.changes)}", [Image.open(io.BytesIO(each)) for each in data])


def in_words(asked: Changes) -> str:
    """What the grid says of a run, for titles."""
    return ", ".join(f"{name} {value}" for name, value in asked.items() if value != "") or "the usual recipe"


def table(runs: list[SweepRun]) -> str:
    """The runs as a table in Markdown."""
    measured = [name for name in MEASURED if any(name in run.metrics for run in runs)]
    names = ["subject", "recipe", "state", "seconds", "last loss", *measured]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for run in runs:
        loss = "" if run.loss_last is None else f"{run.loss_last:.4f}"
        values = [f"{run.metrics[name]:.2f}" if name in run.metrics else "" for name in measured]
        cells = [run.subject, in_words(run.changes), run.message or run.state, f"{run.seconds:.0f}", loss, *values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
