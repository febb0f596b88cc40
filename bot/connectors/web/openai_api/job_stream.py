"""A question that is followed to its answer, with what can go wrong on the way as errors of the API."""

from collections.abc import AsyncGenerator

from bot.connectors.web.openai_api.errors import ApiError
from bot.core.context import CommandContext
from storage.contract.ask import Answer
from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.contract.progress import Progress
from storage.errors import Damaged, Missing
from storage.kinds.ask import AskOutcome

DELETED = "The question was deleted before it was answered."


async def stream_job(bot: CommandContext, job: Job) -> AsyncGenerator[Progress | Answer, None]:
    """Its progress since a worker has it, then its answer, which is the last.

    Raises ApiError if no worker takes it, or if it ends otherwise; StoreError, OSError and RedisError if the store or
    the queue fails.
    """
    is_taken = False
    try:
        async for news in bot.dispatch.follow(job):
            if isinstance(news, Outcome):
                yield _answer(news)
                return
            is_taken = is_taken or news.phase != "queued"
            if is_taken:
                yield news
            elif news.obstacle:
                raise ApiError(503, f"Nobody answers questions at the moment: {news.obstacle}.", "no_worker")
    except Missing:
        raise ApiError(409, DELETED, "cancelled", final=True) from None
    except Damaged as error:
        raise ApiError(500, str(error), "damaged", final=True) from None


def _answer(outcome: Outcome) -> Answer:
    if outcome.state == "cancelled":
        raise ApiError(409, outcome.message, "cancelled", final=True)
    if not isinstance(outcome, AskOutcome) or not outcome.answer:
        raise ApiError(500, outcome.message, "answer_failed", final=True)
    return outcome.answer
