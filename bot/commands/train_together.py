"""The command that learns several subjects together, and what forgetting one of them means for the others."""

from collections.abc import Sequence

from bot.arguments import prompts, recipe_options
from bot.arguments.arguments import TogetherArguments, TrainArguments
from bot.commands.command import command
from bot.commands.train import check_learnable
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Request
from storage.contract.jobs import Job, Method
from storage.contract.recipe import Changes
from storage.contract.subjects import Subject
from storage.kinds import kind_of
from storage.kinds.train import TrainJob
from storage.text import listed


@command(
    "dreambooth together",
    "Train subjects together, so that one picture can show them all.",
    "everyone",
    needs_subjects=2,
)
async def train_together(bot: CommandContext, request: Request, given: TogetherArguments) -> ReplyStream:
    """Learn subjects anew from the photos that they have, in one training; they stay as they are until it is done."""
    known = await access.visible_subjects(bot, request)
    subjects = [prompts.by_name(name, known) for name in given.names.split()]
    for subject in subjects:
        policy.check(request.actor, "retrain", subject)
        check_learnable(subject)
    # One training has one method: LoRA only if none of them was fully trained before.
    usual: Method | None = "lora" if all(subject.method == "lora" for subject in subjects) else None
    job = job_of(request, subjects, given, recipe_options.asked_for(bot.settings, given.recipe, given.changes), usual)
    yield await bot.accept(job)


def job_of(
    request: Request,
    subjects: Sequence[Subject],
    given: TogetherArguments | TrainArguments,
    changes: Changes,
    usual: Method | None = None,
    note: str = "",
) -> TrainJob:
    """The training of several subjects; the method is `usual` where none is asked for, if there is a usual one."""
    method = given.method or changes.get("method", usual)
    return TrainJob.model_validate(
        {
            **request.origin,
            "said": f"/dreambooth together {' '.join(subject.name for subject in subjects)}",
            "subjects": tuple(subject.id for subject in subjects),
            "method": method,
            "steps": given.steps,
            "recipe": {name: value for name, value in changes.items() if name != "method"},
            "seed": given.seed,
            "note": note,
        }
    )


async def effect_on_others(bot: CommandContext, request: Request, forgotten: Subject, jobs: Sequence[Job]) -> str:
    """What forgetting a subject means for others, which were trained together with it, or are so in open `jobs`."""
    here = [subject for subject in await bot.subjects.in_space(forgotten.space) if subject.id != forgotten.id]
    sentences = []
    for job in jobs:
        if kind_of(job).learns and len(job.subjects) > 1:
            waiting = _named([subject for subject in here if subject.id in job.subjects], request)
            if waiting:
                sentences.append(f"{_was(waiting)} being trained together with it; that training is stopped.")
    trained_together = [s for s in here if s.weights_sha256 and s.weights_sha256 == forgotten.weights_sha256]
    visible_names = _named(trained_together, request)
    if trained_together and len(visible_names) == len(trained_together):
        # Weights cannot unlearn one of the subjects; only a new training ends it.
        anew = f"/dreambooth {'retrain' if len(visible_names) == 1 else 'together'} {' '.join(visible_names)}"
        traces = f"trained together with {forgotten.name}, whose traces stay in the weights"
        sentences.append(f"{_was(visible_names)} {traces}: {anew} removes them.")
    if len(visible_names) < len(trained_together):
        sentences.append("Other subjects were trained together with it, whose weights still have traces of it.")
    return " ".join(sentences)


def _named(subjects: Sequence[Subject], request: Request) -> list[str]:
    """Names of those of the subjects that the person may see."""
    return [subject.name for subject in subjects if policy.may_see(subject, request.actor)]


def _was(names: list[str]) -> str:
    return f"{listed(names)} {'was' if len(names) == 1 else 'were'}"
