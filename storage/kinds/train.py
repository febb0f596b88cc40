"""Trainings: jobs that learn subjects from photos, and their outcomes."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer, model_validator

from storage.contract.base import Record
from storage.contract.fields import MANY, NewerValues, ObjectName, ObjectNameOrEmpty, Part, PartOrEmpty, Text
from storage.contract.jobs import SEED_MAX, STEPS_MAX, SUBJECTS_MAX, Job, Method
from storage.contract.outcomes import Candidate, Outcome, Picture
from storage.contract.photo_source import DrawnFrom


class TrainJob(Job):
    """Learn a subject from its photos, or several together."""

    kind: Literal["train"] = "train"
    subjects: tuple[Part, ...] = Field(min_length=1, max_length=SUBJECTS_MAX)
    method: Method | None = None  # None: nobody asked for one; the first attempt writes down which it takes
    steps: int | None = Field(None, ge=1, le=STEPS_MAX)  # None: as the recipe says
    recipe: dict[str, str | int | float | bool] = {}  # what is to be otherwise in the recipe besides
    seed: int = Field(0, ge=0, le=SEED_MAX)
    # Id of the drawing from photos alone that was accepted with it.
    first_look: PartOrEmpty = Field("", exclude_if=lambda drawing: not drawing)
    note: Text = ""  # what was said of the photos on acceptance: stands before whatever is said of this job


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
    # What is measured of drawings from the photos alone, in families that can: a picture of both, above so and below as
    # learned; whichever has the better report card.
    first_look: dict[str, float] = Field({}, exclude_if=lambda measures: not measures)
    compared: Picture | None = Field(None, exclude_if=lambda picture: picture is None)
    drawn_from: Annotated[DrawnFrom, NewerValues] = Field("training", exclude_if=lambda source: source == "training")
    kept_step: int = 0  # the step at which it is kept; 0: it is not known
    candidates: tuple[Candidate, ...] = ()  # what people may choose from, what is kept among them
    choices: Picture | None = None  # of them, a row each
    samples: tuple[Picture, ...] = ()  # where it was learned with others: the sample pictures that are its own


class TrainOutcome(Outcome):
    """What was learned, with the sample pictures on the way."""

    pictures: tuple[Picture, ...] = Field((), max_length=MANY)  # the sample pictures
    subjects: tuple[TrainedSubject, ...] = ()  # in the order of the job
    subject_version: str | None = None  # sha256 of the first one's weights
    steps: int | None = None
    first_step_s: float | None = None  # from acceptance to the first step of the attempt that won
    loss_first: float | None = None
    loss_last: float | None = None
    validated: tuple[tuple[int, float, float], ...] = ()  # losses on what was held back: step, instance, prior
    settings: dict[str, str | int | float | None] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_subjects(cls, data: Any) -> Any:
        """Read `subjects`, what was learned of each, also where the first was `learned`, and `others` were apart."""
        if not isinstance(data, Mapping) or not {"learned", "others", "subject"} & data.keys():
            return data
        fields = {name: value for name, value in data.items() if name not in ("learned", "others", "subject")}
        learned, others = data.get("learned"), data.get("others") or {}
        if "subjects" in fields or learned is None:
            return fields
        by_id = others.items() if isinstance(others, Mapping) else [("", others)]
        return {**fields, "subjects": [_named(*each) for each in ((data.get("subject") or "", learned), *by_id)]}

    @model_serializer(mode="wrap")
    def _name_first_and_others(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Write what was learned in both forms, as jobs do."""
        fields: dict[str, Any] = dump(self)
        if info.mode != "json" or not (subjects := fields.get("subjects")):
            return fields
        ids = [each["subject"] for each in subjects]
        first, *others = [{name: value for name, value in each.items() if name != "subject"} for each in subjects]
        return {**fields, "learned": first, "others": dict(zip(ids[1:], others, strict=True)), "subject": ids[0]}

    @property
    def published(self) -> set[str]:
        """Names of the sample pictures, and of those of the report cards."""
        cards = [card for each in self.subjects for card in (each.before_after, each.choices, each.compared)]
        return {picture.key for picture in (*self.pictures, *cards) if picture}

    def learned_of(self, subject: str) -> TrainedSubject | None:
        """What was learned of one of the job's subjects, by its id."""
        return next((each for each in self.subjects if each.subject in (subject, "")), None)


def _named(subject: Any, learned: Any) -> Any:
    """What was learned of a subject, with its id; as it is where the record is damaged, which is then refused."""
    return {"subject": subject, **learned} if isinstance(learned, Mapping) else learned
