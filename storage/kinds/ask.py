"""Questions: jobs that answer one from sources, and their outcomes."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from storage.contract.ask import QUESTION_MAX, Answer, AskFilters, Turn
from storage.contract.fields import MANY, Id, Part, Text
from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.kinds.kind import JobKind, OpenLimits
from storage.settings.bot import BotSettings

AT_ONCE = 8  # a worker waits for search engines, pages and a model most of the time
TURNS_MAX = 8  # of a thread; the newest answer has the numbers of all before it


class AskJob(Job):
    """Answer a question; `history` are those before it in its thread, the newest last, to which it may refer.

    They are read when it is answered, so one that is deleted meanwhile is not known any more.
    """

    kind: Literal["ask"] = "ask"
    question: Annotated[str, StringConstraints(max_length=QUESTION_MAX)]
    filters: AskFilters = AskFilters()
    documents: tuple[Part, ...] = Field((), max_length=MANY)  # `as_read` of those that everybody may read who reads it
    history: tuple[Id, ...] = Field((), max_length=TURNS_MAX)
    conversation: tuple[Turn, ...] = Field((), max_length=TURNS_MAX)  # before `history`: what no job here answered
    thread: Text = ""  # of the chat, in which it was asked
    is_short: bool = False  # two sentences at most

    @property
    def index_keys(self) -> tuple[str, ...]:
        """A follow-up refers to its asker's newest question, or to the newest one of the thread."""
        return (asker_key(self.owner), *([thread_key(self.thread)] if self.thread else []))


def asker_key(person: str) -> str:
    """What a person's questions are indexed under."""
    return f"asked by {person}"


def thread_key(thread: str) -> str:
    """What the questions of a chat's thread are indexed under."""
    return f"asked in {thread}"


class AskOutcome(Outcome):
    """The answer to a question."""

    answer: Answer | None = None


class AskKind(JobKind[AskJob, AskOutcome]):
    """Questions have limits of their own."""

    def limits(self, settings: BotSettings) -> OpenLimits:
        """How many may wait or be answered at once."""
        return OpenLimits(settings.questions_per_person, settings.questions_per_space)


ASK = AskKind("ask", AskJob, AskOutcome, at_once=AT_ONCE, noun="question", counted="question")
