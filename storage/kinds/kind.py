"""What the storage has to know of a kind of job: its records, and what follows from its end."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Missing
from storage.objects.store import Store
from storage.settings.bot import BotSettings

NEWER_ENDED = {"state": "ended", "message": "This has ended. A newer version of me did it, and knows how."}

J = TypeVar("J", bound=Job)
O = TypeVar("O", bound=Outcome)  # noqa: E741 (an outcome)


class OpenLimits(NamedTuple):
    """How many jobs of a kind may wait or run at once."""

    of_person: int
    of_space: int


@dataclass(frozen=True)
class JobKind(Generic[J, O]):
    """A kind of job: its name, which is its queue's as well, and its records. Most kinds need nothing more.

    A kind whose jobs change other records is a subclass with hooks. A hook may be called again after a crash, by
    whoever comes by, and comes out the same.
    """

    name: str  # as `kind` of its jobs; the queue is `darkroom:<name>`
    job: type[J]
    outcome: type[O]
    needs_gpu: bool = False  # whether a worker starts an engine for it
    learns: bool = False  # whether its jobs make their subjects what they are, which wait for them
    at_once: int = 1  # jobs of it that one worker runs at a time
    one_per_person: bool = False  # of these, so that one person's many leave room for the others'
    noun: str = "job"  # as in "somebody's job", which is all that is said of one that a person may not see
    counted: str = "request"  # as in "You have 3 requests waiting or running"
    unit: str = ""  # of what its jobs make, as in "3 pictures ahead of you"; empty: jobs are counted

    def units(self, job: J) -> int:
        """How many units of work a job is: places in the queue are counted in them."""
        return 1

    def limits(self, settings: BotSettings) -> OpenLimits:
        """How many may wait or run at once."""
        return OpenLimits(settings.pictures_per_person, settings.pictures_per_space)

    def check(self, job: J, settings: BotSettings) -> None:
        """Raise UserError, with what to ask for instead, where a job is too large to be accepted."""

    def of_this_kind(self, job: Job) -> J | None:
        """The job, if it is of this kind; None for one of another kind, or that only a newer version understands."""
        return job if isinstance(job, self.job) else None

    def typed(self, outcome: Outcome) -> O:
        """An outcome as one of this kind, with the fields that it has."""
        if isinstance(outcome, self.outcome):
            return outcome
        return self.outcome.model_validate(outcome.model_dump())

    async def read_outcome(self, store: Store, job: str) -> O | None:
        """How a job ended, by its id, if it did; raises Damaged if nobody can tell any more."""
        key = outcome_key(job)
        try:
            outcome = parsed_in_part(self.outcome, (await store.get(key)).data, key, {**NEWER_ENDED, "job": job})
        except Missing:
            return None
        if outcome.job != job:
            raise Damaged(f"The record {key!r} is damaged: it is of another job.")
        return outcome

    async def accepted(self, store: Store, job: J) -> J:
        """The job as it is written down, once it is accepted."""
        return job

    async def note_end(self, store: Store, job: J, outcome: O) -> None:
        """Make other records say how the job ended. Raises Damaged or Newer for a record that cannot be read."""

    async def clean_up(self, store: Store, job: J) -> None:
        """Delete what the job, which has ended or is deleted, has left outside of `jobs/<job>/` and nobody needs."""

    async def shows_forgotten(self, store: Store, job: J, outcome: O) -> bool:
        """Whether what it made shows a subject that was forgotten just before it was published: then it goes."""
        return False

    async def is_needed(self, store: Store, job: J, names: Collection[str]) -> bool:
        """Whether a record needs the job, whose objects these are, however old it is."""
        return False

    async def discard(self, store: Store, job: J) -> None:
        """Delete what the job has left elsewhere and was to make, for it is cancelled in a store without room."""

    async def erase(self, store: Store, job: J) -> None:
        """Delete what the job has left elsewhere that shows one of its subjects, who is being forgotten."""

    async def recovered(self, store: Store, job: J) -> O | None:
        """An outcome in place of one whose record is damaged, by the objects that are there; None if it cannot be."""
        return None


ANY: JobKind[Job, Outcome] = JobKind("", Job, Outcome)  # stands for kinds that only newer versions know
