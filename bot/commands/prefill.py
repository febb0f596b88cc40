"""Forms that come filled in: what a button already knows, a person need not type."""

from typing import Any

from bot.arguments import prompts
from bot.arguments.forms import Form
from bot.commands.imagine import find_pictures
from bot.commands.registry import COMMANDS
from bot.core import policy
from bot.core.context import CommandContext
from bot.core.messages import Request
from storage.contract.sizes import Size
from storage.errors import UserError


async def filled_form(bot: CommandContext, request: Request, command: str, arguments: dict[str, str]) -> Form:
    """Return the form of a command with `arguments` filled in; raises UserError if what they name is gone.

    `like` is the job whose prompt is to be edited. What has no field goes along unseen, in `Form.fixed`.
    """
    given = dict(arguments)
    if job := given.pop("like", None):
        given = await _like(bot, request, job) | given
    empty = COMMANDS[command].form()
    # Ids mean nothing to people; they go along unseen.
    hidden = {"draft", "job"} if COMMANDS[command].hidden else {"follow"} & {*given}
    fields = [f.model_copy(update={"default": given.get(f.name, f.default)}) for f in empty.fields]
    return empty.model_copy(
        update={
            "fields": tuple(field for field in fields if field.name not in hidden),
            "fixed": {name: value for name, value in given.items() if name in hidden},
        }
    )


async def _like(bot: CommandContext, request: Request, job_id: str) -> dict[str, str]:
    """The arguments that would draw a job's pictures again."""
    job = await find_pictures(bot, request, job_id)
    same = {"prompt", "negative", "count", "steps", "guidance", "scheduler", "quality"}
    given: dict[str, Any] = job.model_dump(include=same)
    # What nobody asked for stays out of the form: sent back, it would count as asked for.
    given = {name: value for name, value in given.items() if name not in job.unasked}
    given |= {"size": job.size and _size_in_words(job.size), "seed": job.seed}
    given |= {} if job.size or job.aspect == "1:1" else {"aspect": job.aspect}
    if "[v]" in job.prompt.casefold() and job.subjects:
        subjects = [subject for subject in await bot.subjects_of(job) if policy.may_draw(subject, request.actor)]
        if not subjects:
            raise UserError("The subject of these pictures has been deleted.")
        given["prompt"] = prompts.by_names(job.prompt, subjects)
    return {name: str(value) for name, value in given.items() if value is not None}


def _size_in_words(size: Size) -> str:
    """A size as people type it: one number for a square, beside which an aspect may be chosen."""
    return str(size.width_px) if size.width_px == size.height_px else f"{size.width_px}x{size.height_px}"
