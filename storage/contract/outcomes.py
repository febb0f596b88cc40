"""The outcome of a job: what it has made, written once to the object store by a conditional put."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer, model_validator

from storage.contract.base import Record, Stored
from storage.contract.fields import MANY, PIXELS_MAX, Id, NewerValues, ObjectName, ObjectNameOrEmpty, Part, PartOrEmpty
from storage.contract.first_and_others import outcome_as_before, with_learned_subjects


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


class TrainedSubject(Record):
    """What a training has made of one subject, as the subject's record is to say it."""

    subject: PartOrEmpty = ""  # its id; empty in old records of trainings of one
    weights_key: ObjectName
    weights_sha256: Part
    identifier: str
    recipe: dict[str, str | int | float | bool | None]
    base_revision: str = ""
    base_sha256: str = ""
    class_set: ObjectNameOrEmpty = ""  # name of the class images it was learned beside
    photos_differ: int = 0  # how many of its photos are unlike all others; 0: it is not known
    metrics: dict[str, float] = {}  # of the report card, where there is one
    before_after: Picture | None = None  # of it: the plain class before and after, each column of one seed
    kept_step: int = 0  # the step at which it is kept; 0: it is not known
    candidates: tuple[Candidate, ...] = ()  # what people may choose from, what is kept among them
    choices: Picture | None = None  # of them, a row each
    samples: tuple[Picture, ...] = ()  # where it was learned with others: the sample pictures that are its own


class Outcome(Stored):
    """How a job ended; written once to `jobs/<job>/outcome.json`."""

    job: Id
    state: Annotated[Literal["done", "failed", "cancelled"], NewerValues]
    message: str  # a sentence for the person who asked
    detail: str = ""  # for the operator; never shown in a chat
    seconds: float = 0.0  # from start of the attempt that won to its end
    pictures: tuple[Picture, ...] = Field((), max_length=MANY)  # imagine: one each; train: the sample pictures
    grid: Picture | None = None
    subjects: tuple[TrainedSubject, ...] = ()  # train: in the order of the job
    subject_version: str | None = None  # sha256 of the subject's weights; of several, with commas between them
    steps: int | None = None
    first_step_s: float | None = None  # from acceptance to the first step of the attempt that won
    loss_first: float | None = None
    loss_last: float | None = None
    validated: tuple[tuple[int, float, float], ...] = ()  # losses on what was held back: step, instance, prior
    settings: dict[str, str | int | float | None] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_subjects(cls, data: Any) -> Any:
        return with_learned_subjects(data)

    @model_serializer(mode="wrap")
    def _name_first_and_others(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        return outcome_as_before(dump(self)) if info.mode == "json" else dump(self)

    def learned_of(self, subject: str) -> TrainedSubject | None:
        """What was learned of one of the job's subjects, by its id."""
        return next((each for each in self.subjects if each.subject in (subject, "")), None)


def outcome_key(job: str) -> str:
    """Name of the object whose conditional put publishes the job."""
    return f"jobs/{job}/outcome.json"
