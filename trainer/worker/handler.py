"""How a worker does one kind of job, as the worker sees it."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from trainer.protocol import Hello
from trainer.worker.attempt import Attempt

J = TypeVar("J", bound=Job)


class JobHandler(Generic[J]):
    """One attempt at a job of this kind. All that is common is done around it: lease, retries, progress, publishing."""

    def __init__(self, job: J, attempt: Attempt) -> None:
        """`attempt` has what the worker gives: a folder, store, cache, settings, and `reporter` for progress."""
        self.job, self.attempt = job, attempt

    @classmethod
    async def prepare(cls) -> None:
        """Get ready what the first job would wait for, beside everything else; raises nothing."""

    @classmethod
    def check(cls, job: J) -> None:
        """Raise Newer where only a newer version can do the job, and Damaged where nobody can."""

    @classmethod
    def fits_beside(cls, job: J, running: Sequence[J], hello: Hello | None) -> bool:
        """Whether the job is to begin while others of its kind run here, rather than after them."""
        return True

    async def run(self) -> Outcome:
        """Bring the job to its outcome, in the worker's event loop.

        It is cancelled when the job is, when the lease is lost, and when the worker ends: then another worker begins
        anew. Raises UserError with a sentence for the person where the job cannot be done, and StoreError.
        """
        raise NotImplementedError


Handlers = dict[str, type[JobHandler[Any]]]  # by the name of the kind
