"""The command that learns several subjects together, and what forgetting one of them means for the others."""

from collections.abc import Sequence

from bot.arguments import prompts, recipe_options
from bot.arguments.arguments import TogetherArguments, TrainArguments
from bot.commands.train import check_learnable
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Request
from storage.contract.jobs import Job, Method
from storage.contract.recipe import Changes
from storage.contract.subjects import Subject
from storage.kinds.train import TrainJob
from storage.text import listed


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


async def left_behind(bot: CommandContext, request: Request, forgotten: Subject, jobs: Sequence[Job]) -> str:
    """What forgetting a subject means for others, who were learned together with it, or are so in open `jobs`."""
    here = [subject for subject in await bot.subjects.in_space(forgotten.space) if subject.id != forgotten.id]
    sentences = []
    for job in jobs:
        if isinstance(job, TrainJob) and len(job.subjects) > 1:
            waiting = _named([subject for subject in here if subject.id in job.subjects], request)
            if waiting:
                sentences.append(f"{_was(waiting)} being learned together with it; that is stopped.")
    alike = [s for s in here if s.weights_sha256 and s.weights_sha256 == forgotten.weights_sha256]
    mixed = _named(alike, request)
    if alike and len(mixed) == len(alike):
        anew = f"/dreambooth {'retrain' if len(mixed) == 1 else 'together'} {' '.join(mixed)}"
        sentences.append(f"{_was(mixed)} learned together with it, and still draws from that: {anew} ends it.")
    if len(mixed) < len(alike):
        sentences.append("Other subjects were learned together with it, and still draw from that.")
    return " ".join(sentences)


def _named(subjects: Sequence[Subject], request: Request) -> list[str]:
    """Names of those of the subjects that the person may see."""
    return [subject.name for subject in subjects if policy.may_see(subject, request.actor)]


def _was(names: list[str]) -> str:
    return f"{listed(names)} {'was' if len(names) == 1 else 'were'}"
