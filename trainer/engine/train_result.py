"""What is left of a training when it has ended: weights, report cards, the candidates to choose from."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.diffusion import sampling
from trainer.dreambooth import candidate_sheet
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.run import TrainingRun
from trainer.dreambooth.subjects import TrainingSubject
from trainer.dreambooth.train import TrainingResult
from trainer.dreambooth.truncated_captions import cut_captions
from trainer.dreambooth.weights import save
from trainer.engine.host import Cancelled, Host, Paused
from trainer.models.denoiser import Denoiser
from trainer.protocol import ProgressReport, SubjectResult, TrainResult

log = logging.getLogger(__name__)


def finish_training(
    host: Host, run: TrainingRun, learned: TrainingResult, check_messages: Callable[[], None]
) -> TrainResult:
    """Write what was learned into the task's folder.

    `check_messages` is called between steps of drawing, and may raise.
    """
    task, candidates = run.task, run.candidates
    weights = Path(task.folder) / "weights.safetensors"
    save(weights, candidates.weights(learned))
    best = candidates.best
    choice = _choices(run, check_messages) if run.recipe.choose else {}
    denoiser = candidates.denoiser(learned)
    results = tuple(_examined(host, run, trained, denoiser, check_messages) for trained in run.subjects)
    subjects = [trained.subject for trained in run.subjects]
    return TrainResult(
        job=task.job,
        state="done",
        message="\n".join(filter(None, (_cut_short(candidates), cut_captions(host.base, run.recipe, subjects)))),
        files=(str(weights),),
        subjects=results,
        losses=tuple(learned.losses),
        kept_step=best.step if best else len(learned.losses),
        validated=tuple((step, *losses) for step, losses in learned.validated.items()),
        **choice,
    )


def _cut_short(candidates: Candidates) -> str:
    """What is said where a training has diverged and an earlier state is kept."""
    return candidates.ended_by.kept(candidates.best.step) if candidates.ended_by and candidates.best else ""


def _choices(run: TrainingRun, check_messages: Callable[[], None]) -> dict[str, Any]:
    """The candidates to choose from, and the path of their pictures."""
    choices, sheet = candidate_sheet.lay_out(
        run.candidates, run.subject, Path(run.task.folder), check_messages, **run.how
    )
    return {"choices": choices, "choices_sheet": str(sheet)}


def _examined(
    host: Host, run: TrainingRun, trained: TrainingSubject, denoiser: Denoiser, check_messages: Callable[[], None]
) -> SubjectResult:
    """What is said of a subject, with its report card unless nobody looks, or there is no time."""
    taught = SubjectResult(identifier=trained.subject.identifier, class_set=str(trained.class_set))
    if not (trained.evaluator and run.candidates.looks.card) or host.pausing:
        return taught

    def on_step(done: int, of: int) -> None:
        check_messages()
        host.say(ProgressReport(job=run.task.job, phase="sampling", step=done, of=of))

    try:
        card = trained.evaluator.card(denoiser, on_step)
    except (Cancelled, Paused):
        raise
    except Exception:  # what was learned is worth more than its card
        log.exception("no report card of job %s", run.task.job)
        return taught
    path = Path(run.task.folder) / f"before-after-{taught.identifier}.png"
    sampling.grid([*card.before, *card.after], columns=len(card.before)).save(path)
    return taught.model_copy(update={"metrics": card.measures, "before_after": str(path)})
