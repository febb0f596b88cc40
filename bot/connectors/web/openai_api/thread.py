"""The thread that a question belongs to: a client sends it as messages, of which we may have written some."""

from collections.abc import Sequence
from typing import Any

from bot.commands.ask import turns_until
from bot.connectors.web.openai_api.parameters import without_markers
from bot.core.context import CommandContext
from bot.core.messages import Request
from storage.contract.ask import Turn
from storage.kinds.ask import ASK, AskJob, asker_key
from storage.text import one_line

LOOKED_AT = 50  # newest questions of the person


async def thread_of(bot: CommandContext, request: Request, turns: Sequence[Turn]) -> dict[str, Any]:
    """The fields of a job that say what was asked and answered before it.

    If the last answer is one of ours, that job is followed up on: sources keep their numbers. Else the messages are
    history as they stand.
    """
    if not turns:
        return {}
    if before := await _answered(bot, request, turns[-1]):
        return turns_until(before)
    return {"conversation": without_markers(turns)}


async def _answered(bot: CommandContext, request: Request, turn: Turn) -> AskJob | None:
    """The newest job that answered a question so, if there is one."""
    question, text = one_line(turn.question), turn.answer.text.strip()
    for job in await bot.dispatch.index.under(request.space, asker_key(request.user), LOOKED_AT):
        if not isinstance(job, AskJob) or job.question != question:
            continue
        outcome = await ASK.read_outcome(bot.store, job.id)
        answer = outcome.answer.text.strip() if outcome and outcome.answer else ""
        if answer and text.endswith(answer):  # what was streamed may have begun anew
            return job
    return None
