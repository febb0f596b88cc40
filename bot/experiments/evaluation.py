"""`darkroom eval`: learn subjects, draw them, measure that as DreamBooth's paper does (arXiv 2208.12242, section 4).

Learning and drawing go through the queue, so that a pool shares them; measuring is a process of the trainer here. An
evaluation that was broken off goes on: what was learned is found by its name, what was drawn by its file or its job.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bot.arguments import prompts
from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.files import check_writable, read_photos
from bot.connectors.terminal.screen import CommandResult
from bot.core import local_space
from bot.core.messages import Reply
from bot.delivery.contact_sheet import contact_sheet
from bot.experiments import common
from bot.experiments.evaluation_jobs import EvaluationDrawer, jobs_of
from bot.experiments.evaluation_plan import EvaluationPlan, prompts_of, read_plan
from bot.experiments.evaluation_report import means, sheet_rows, table
from bot.experiments.metrics_process import MetricsProcess, fetched_photos, metric_models
from bot.photos.uploads import Upload
from storage.base_models import TOYWORLD
from storage.contract.evaluation import Figures
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.lifecycle.finalize import delete_job

SPACE = "evaluation"


@dataclass(frozen=True)
class SubjectEvaluation:
    """One subject of an evaluation, and what came of it."""

    name: str
    prompts: list[str]
    photos: tuple[Upload, ...] = ()  # none of a subject that is learned already
    subject: Subject | None = None
    figures: Figures | None = None
    message: str = ""  # why there are no figures


class Evaluation:
    """An evaluation under way: what is shared by its subjects."""

    def __init__(self, session: Session, plan: EvaluationPlan, out: Path, measuring: MetricsProcess) -> None:
        self.session, self.plan, self.out, self.measuring = session, plan, out, measuring
        self.artist = EvaluationDrawer(session)
        # More at once would be refused by the quota, which counts these like anybody's.
        self._trainings = asyncio.Semaphore(session.darkroom.settings.trainings_per_person)

    async def evaluate(self, case: SubjectEvaluation) -> SubjectEvaluation:
        """Learn one subject, draw it, measure it and leave its contact sheet."""
        case = await self._train(case)
        if case.subject:
            case = await self._draw_and_measure(case, case.subject)
        self.session.screen.say(f"{case.name}: {case.message or 'measured'}")
        return case

    async def _train(self, case: SubjectEvaluation) -> SubjectEvaluation:
        if case.subject:
            return case
        noun, changes = self.plan.subjects[case.name].noun, self.plan.changes
        async with self._trainings:
            learned = await common.trained_subject(self.session, case.name, noun, changes, case.photos)
        if isinstance(learned, Reply):
            return replace(case, message=learned.text)
        return replace(case, subject=learned)

    async def _draw_and_measure(self, case: SubjectEvaluation, subject: Subject) -> SubjectEvaluation:
        folder = self.out / "pictures" / case.name
        self.session.screen.say(f"{case.name}: drawing {len(case.prompts)} prompts")
        jobs = jobs_of(self.plan, subject, case.prompts)
        answers = await asyncio.gather(*(self.artist.draw(job, folder) for job in jobs))
        drawn = [answer for answer in answers if not isinstance(answer, Reply)]
        for answer in answers:
            if isinstance(answer, Reply):
                return replace(case, message=answer.text)
        with tempfile.TemporaryDirectory() as there:
            photos = await fetched_photos(self.session.darkroom.store, subject, Path(there))
            figures = await self.measuring.measure(subject, photos, case.prompts, drawn)
            rows = sheet_rows(photos, case.prompts, drawn, figures)
        contact_sheet(rows).save(self.out / f"{case.name}.png")
        return replace(case, figures=figures)

    def write(self, cases: Sequence[SubjectEvaluation]) -> dict[str, Any]:
        """Leave the table and the figures as JSON; return the latter."""
        figures = {case.name: case.figures for case in cases if case.figures}
        report = {
            "base_model": self.session.darkroom.settings.base_model,
            "models": self.measuring.models.model_dump(),
            **self.plan.model_dump(include={"images", "class_images", "seed", "steps", "guidance", "recipe"}),
            "mean": means([each.mean for each in figures.values()]),
            "subjects": [_case_json(case) for case in cases],
        }
        (self.out / "eval.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
        failed = {case.name: case.message for case in cases if not case.figures}
        (self.out / "eval.md").write_text(table(figures, failed))
        return report

    async def tidy(self, cases: Sequence[SubjectEvaluation]) -> None:
        """Forget what was learned and drawn for this evaluation alone."""
        for case in cases:
            assert case.subject
            for job in jobs_of(self.plan, case.subject, case.prompts):
                await delete_job(self.session.darkroom.store, job.id)
            if case.photos:
                await common.ask(self.session, "dreambooth forget", {"name": case.subject.name})


async def run_evaluation(
    session: Session, path: Path, out: Path, keep: bool, clip: str | None, dino: str | None
) -> CommandResult:
    """Run an evaluation; leave `eval.json`, `eval.md`, a contact sheet of each subject and the pictures in `out`."""
    check_writable(out)
    plan, darkroom = read_plan(path), session.darkroom
    models = metric_models(darkroom.settings, clip, dino)
    # Before the session enters the evaluation's space: subjects that exist are looked up in the person's own.
    cases = [await _case(session, plan, name, path.parent) for name in plan.subjects]
    session.space = SPACE
    async with MetricsProcess(models, darkroom.settings) as measuring:  # what it lacks is told before hours of learning
        session.stack.need_worker("imagine")
        out.mkdir(parents=True, exist_ok=True)
        evaluation = Evaluation(session, plan, out, measuring)
        cases = await asyncio.gather(*(evaluation.evaluate(case) for case in cases))
    report = evaluation.write(cases)
    failed = sum(case.figures is None for case in cases)
    # After a failure everything stays: the next run finds it and goes on from there.
    if not (failed or keep):
        await evaluation.tidy(cases)
    goes_on = " Run the same command again to resume with those." if failed else ""
    message = f"{len(cases)} subjects, {failed} without metrics: {(out / 'eval.md').resolve()} has the table.{goes_on}"
    return CommandResult(state="failed" if failed else "done", message=message, code=int(bool(failed)), more=report)


async def _case(session: Session, plan: EvaluationPlan, name: str, beside: Path) -> SubjectEvaluation:
    """Look a subject of the plan up; raises UserError if its photos, its prompts or itself are not there."""
    settings, sitter = session.darkroom.settings, plan.subjects[name]
    asked = prompts_of(plan, name, beside, "toyworld" if settings.base_model == TOYWORLD else "object")
    if sitter.photos:
        photos = await asyncio.to_thread(read_photos, [beside / each for each in sitter.photos], settings)
        return SubjectEvaluation(name, asked, photos)
    known = prompts.by_name(name, await session.darkroom.subjects.in_space(local_space.SPACE))
    if known.state != "ready":
        raise UserError(f"{known.name} is not ready, so it cannot be evaluated.")
    if not known.photos:
        raise UserError(f"{known.name} was imported: without photos there is nothing to compare it with.")
    return SubjectEvaluation(name, asked, subject=known)


def _case_json(case: SubjectEvaluation) -> dict[str, Any]:
    """What the JSON says of a subject."""
    figures = case.figures or Figures()
    of_prompts = [{"prompt": p, **f} for p, f in zip(case.prompts, figures.prompts, strict=False)]
    about = case.subject.model_dump(include={"identifier", "weights_sha256", "recipe"}) if case.subject else {}
    return {
        "name": case.name,
        "class": case.subject.noun if case.subject else "",
        **about,
        "message": case.message,
        **figures.model_dump(include={"mean", "photos", "prior_by"}),
        "prompts": of_prompts,
    }
