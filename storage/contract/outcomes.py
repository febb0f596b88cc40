"""The outcome of a job: what it has made, written once to the object store by a conditional put."""

from typing import Annotated, Literal

from pydantic import Field

from storage.contract.base import Record, Stored
from storage.contract.fields import PIXELS_MAX, Id, NewerValues, ObjectName, Part


class Picture(Record):
    """One picture in the store, with the seed that remakes it."""

    key: ObjectName
    width_px: int = Field(ge=0, le=PIXELS_MAX)
    height_px: int = Field(ge=0, le=PIXELS_MAX)
    seed: int | None = None
    caption: str = ""  # alt text
    step: int | None = None  # of the training, for a sample picture


def samples_until(pictures: tuple[Picture, ...], step: int) -> tuple[Picture, ...]:
    """Sample pictures of a training as far as it is kept; all of them where that is not known, 0."""
    return tuple(picture for picture in pictures if not step or not picture.step or picture.step <= step)


class Candidate(Record):
    """A subject as it was at one step of its training, to be chosen."""

    step: int
    weights_key: ObjectName
    weights_sha256: Part
    measures: dict[str, float] = {}  # how good it was found at a glance, where somebody looked


class Outcome(Stored):
    """How a job ended; written once to `jobs/<job>/outcome.json`. Each kind has a subclass with what was made."""

    job: Id
    state: Annotated[Literal["done", "failed", "cancelled"], NewerValues]
    message: str  # a sentence for the person who asked
    detail: str = ""  # for the operator; never shown in a chat
    seconds: float = 0.0  # from start of the attempt that won to its end

    @property
    def published(self) -> set[str]:
        """Names of the objects of attempts that it publishes; all others are deleted."""
        return set()


def outcome_key(job: str) -> str:
    """Name of the object whose conditional put publishes the job."""
    return f"jobs/{job}/outcome.json"
