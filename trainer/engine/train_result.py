"""What is left of a training when it has ended: weights, report cards, the candidates to choose from."""

import logging
from pathlib import Path
from typing import Any

from trainer.diffusion import sampling
from trainer.diffusion.images import read_photo
from trainer.diffusion.latents import reference_latents
from trainer.diffusion.row_adapters import Drawer
from trainer.dreambooth import candidate_sheet
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.first_look import compare
from trainer.dreambooth.report_card import ReportCard, SubjectEvaluator
from trainer.dreambooth.train import TrainingResult
from trainer.dreambooth.truncated_captions import cut_captions
from trainer.dreambooth.weights import save
from trainer.engine.host import Host, Paused
from trainer.engine.training_session import TrainingSession, TrainingSubject
from trainer.models.base import BaseModel
from trainer.protocol import ProgressReport, SubjectResult, TrainResult
from trainer.steps import Steps, reporting

log = logging.getLogger(__name__)


def finish_training(host: Host, session: TrainingSession, learned: TrainingResult) -> Steps[TrainResult]:
    """Write what was learned into the task's folder; a step is a denoising step of pictures that show it."""
    task, candidates = session.task, session.candidates
    weights = Path(task.folder) / "weights.safetensors"
    # Before any picture is drawn: whatever fails then, what was learned is there.
    save(weights, candidates.weights(learned))
    best = candidates.best
    choice = (yield from _choices(session)) if session.recipe.choose else {}
    # The card is of what is kept, which is often not what the last step left.
    denoiser = candidates.denoiser(learned)
    results = []
    for trained in session.subjects:
        results.append((yield from _examined(host, session, trained, denoiser)))
    subjects = [trained.subject for trained in session.subjects]
    return TrainResult(
        job=task.job,
        state="done",
        message="\n".join(filter(None, (_cut_short(candidates), cut_captions(host.base, session.recipe, subjects)))),
        files=(str(weights),),
        subjects=tuple(results),
        losses=tuple(learned.losses),
        kept_step=best.step if best else len(learned.losses),
        validated=tuple((step, *losses) for step, losses in learned.validated.items()),
        **choice,
    )


def _cut_short(candidates: Candidates) -> str:
    """What is said where a training has diverged and an earlier state is kept."""
    return candidates.ended_by.kept(candidates.best.step) if candidates.ended_by and candidates.best else ""


def _choices(session: TrainingSession) -> Steps[dict[str, Any]]:
    """The candidates to choose from, and the path of their pictures."""
    folder = Path(session.task.folder)
    choices, sheet = yield from candidate_sheet.lay_out(session.candidates, session.subject, folder, **session.how)
    return {"choices": choices, "choices_sheet": str(sheet)}


def _examined(host: Host, session: TrainingSession, trained: TrainingSubject, denoiser: Drawer) -> Steps[SubjectResult]:
    """What is said of a subject, with what can be shown of it unless there is no time."""
    taught = SubjectResult(identifier=trained.subject.identifier, class_set=str(trained.class_set or ""))
    if host.pausing:
        return taught

    def report(done: int, of: int) -> None:
        if host.pausing:
            raise Paused
        host.say(ProgressReport(job=session.task.job, phase="sampling", step=done, of=of))

    fields: dict[str, Any] = {}
    try:
        yield from reporting(_shown(host.base, session, trained, denoiser, fields), report)
    except Paused:  # the worker ends: what was learned goes first
        log.info("no report card of job %s: there is no time", session.task.job)
    except Exception:  # what was learned is worth more than its card
        log.exception("no report card of job %s", session.task.job)
    return taught.model_copy(update=fields)


def _shown(
    base: BaseModel, session: TrainingSession, trained: TrainingSubject, denoiser: Drawer, fields: dict[str, Any]
) -> Steps[None]:
    """Add to what was `fields` the report card, if somebody looks, and the first look where the model has one."""
    who, folder = trained.subject, Path(session.task.folder)
    measured: tuple[SubjectEvaluator, ReportCard] | None = None
    if trained.evaluator and session.candidates.looks.card:
        card = yield from trained.evaluator.card(denoiser)
        measured = trained.evaluator, card
        path = folder / f"before-after-{who.identifier}.png"
        sampling.grid([*card.before, *card.after], columns=len(card.before)).save(path)
        fields |= {"metrics": card.measures, "before_after": str(path)}
    if trained.references and session.recipe.report_card:
        references = reference_latents(base, [read_photo(photo) for photo in trained.references])
        comparison = yield from compare(base, who, denoiser, references, measured, **session.how)
        path = folder / f"compared-{who.identifier}.png"
        comparison.sheet.save(path)
        fields |= {"first_look": comparison.measures, "compared": str(path)}
