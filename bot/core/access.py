"""Authorization of stored subjects and jobs: the policy applied, with sentences for refusals."""

from collections.abc import Sequence

from bot.arguments import prompts
from bot.core import policy
from bot.core.context import CommandContext, may_see_job
from bot.core.damaged_subjects import damaged_subject
from bot.core.messages import Request
from bot.core.suggestions import Suggestions
from storage.contract.jobs import Audience, Job
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.kinds import kind_of


async def visible_subjects(bot: CommandContext, request: Request, listed: Suggestions | None = None) -> list[Subject]:
    """The subjects that the person may see there where they ask, newest first; those of the space itself come first.

    While they type, the subjects are those that were `listed` a moment ago.
    """
    actor, visible = request.actor, []
    for space in (request.space, *request.own_spaces):
        # Lists for completion must come within two seconds; permissions are never taken from a cache.
        visible += policy.visible_to(actor, await (listed or bot.subjects).in_space(space))
    return visible


async def means_all(bot: CommandContext, request: Request, name: str) -> bool:
    """Whether `forget me` means the person with all that is theirs: unless there is a subject called so."""
    return name.casefold() == "me" and not any(s.name.casefold() == "me" for s in await visible_subjects(bot, request))


async def named(bot: CommandContext, request: Request, names: Sequence[str]) -> list[Subject]:
    """The subjects of these names, where the person may see all of them; else all that they may see, to suggest some.

    *v* is no name: it stands for the newest.
    """
    if not names:
        return []
    # By name where possible: a space may hold thousands of subjects, and a prompt names one or two.
    matches = [] if "v" in names else await bot.subjects.find_all(request.space, names)
    visible = policy.visible_to(request.actor, matches)
    return visible if len(visible) == len(names) else await visible_subjects(bot, request)


async def forgettable(bot: CommandContext, request: Request, name: str) -> Subject:
    """The subject of that name that the person sees or may forget unseen; raises UserError if they may not forget it.

    Names of subjects that they do not see are not suggested. One whose record is damaged nobody sees.
    """
    if damaged := await damaged_subject(bot, request, name):
        return damaged
    known = await visible_subjects(bot, request)
    subject = await bot.subjects.find(request.space, name)
    # Falling back to what the person sees gives the same sentence for names that do not exist and hidden ones.
    if not subject or not policy.may_forget(subject, request.actor):
        subject = prompts.by_name(name, known)
    policy.check(request.actor, "forget", subject)
    return subject


def must_draw(subjects: Sequence[Subject], request: Request, sentence: str) -> None:
    """Raise UserError with `sentence` unless the person may draw all of the subjects."""
    if not all(policy.may_draw(subject, request.actor) for subject in subjects):
        raise UserError(sentence)


def shared(request: Request, audience: Audience | None, group: str | None) -> dict[str, str]:
    """The fields of a subject that say with whom it is shared: what is asked for, else with all who read it there."""
    if group:
        return {"shared": "group", "shared_with": group}
    # What is made in a private channel would otherwise be seen by the whole server.
    kind = audience or ("channel" if request.secluded else "space")
    return {"shared": kind, "shared_with": (request.secluded or request.channel) if kind == "channel" else ""}


async def visible_prompt(bot: CommandContext, request: Request, job: Job) -> str:
    """What was asked for, as it may stand in a list: of work that the person may not see, only that there is some."""
    if await may_see_job(bot, request, job):
        return job.said or job.id
    return f"somebody's {kind_of(job).noun}"


async def stoppable(bot: CommandContext, request: Request, listed: Suggestions) -> list[tuple[str, str]]:
    """The open jobs that the person may stop, as they were listed a moment ago: id, and what was asked for."""
    open_ = await listed.open_jobs(request.space)
    may = [job for job in open_ if policy.may_cancel(job, request.actor)]
    return [(job.id, await visible_prompt(bot, request, job)) for job in may]
