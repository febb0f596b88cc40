"""Hears every last word that the local chat says of a job: a log that keeps one word for each could not tell of two."""

from bot.connectors.web.listener import Listener
from bot.core.chat_log import ChatMessage
from bot.core.messages import Reply


class Witness(Listener):
    """Listens to one bot, from its start to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.last_log_line: dict[str, list[Reply]] = {}  # by job

    def tell(self, message_id: str, message: ChatMessage | None) -> None:
        """Hear of a change; that pictures are gone which were deleted since is no new word."""
        super().tell(message_id, message)
        if not message or not message.answered or message.reply.job != message_id:
            return
        words = self.last_log_line.setdefault(message_id, [])
        if not words or not _fewer_pictures(words[-1], message.reply):
            words.append(message.reply)


def _fewer_pictures(before: Reply, now: Reply) -> bool:
    """Whether nothing has changed but that pictures are gone."""
    gone = set(before.pictures) > set(now.pictures)
    return gone and before.model_copy(update={"pictures": now.pictures}) == now


def told_twice(witnesses: list[Witness]) -> list[str]:
    """Sentences about jobs whose end was told twice by one bot, or otherwise by the next.

    What one has told and could not keep before it ended is told again by the next: the message on the page is the same.
    """
    jobs = sorted({job for witness in witnesses for job in witness.last_log_line})
    problems = []
    for job in jobs:
        words = [witness.last_log_line.get(job, []) for witness in witnesses]
        if any(len(some) > 1 for some in words):
            problems.append(f"job {job} is told twice")
        if len(states := {reply.state for some in words for reply in some}) > 1:
            problems.append(f"job {job} is told as {' and '.join(sorted(states))}")
    return problems
