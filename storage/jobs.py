"""THE CONTRACT between bot and trainer: jobs, their progress and their outcomes, all JSON.

A job is written to the object store before it is queued; the queue carries only its id. A worker writes the
outcome once, by a conditional put: whoever wins it has published.
"""

import time
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, model_validator

from storage.errors import Damaged, Newer
from storage.fields import (
    MANY,
    PIXELS_MAX,
    WORD,
    Id,
    NewerValues,
    ObjectName,
    ObjectNameOrEmpty,
    Part,
    Text,
)
from storage.ids import is_id, new_id, ordered_s
from storage.sizes import SIDE_MAX_PX, SIDE_MIN_PX, SIDE_STEP_PX, Aspect, Size
from storage.versions import is_newer_value, understood, version_of

Method = Literal["full", "lora"]  # the networks themselves learn, the paper's way; or LoRA beside them
SchedulerName = Literal["ddim", "pndm", "euler", "euler-a", "dpm++2m"]
Audience = Literal["private", "channel", "space", "group"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
Phase = Literal["queued", "loading", "class images", "learning", "sampling", "drawing", "saving"]

Unasked = Literal["steps", "guidance", "scheduler"]

SEED_MAX = 2**32 - 1
STEPS_MAX = 4000  # of a training
OTHERS_MAX = 16  # subjects of a job besides the first: more than any command takes
Side: Any = Field(None, ge=SIDE_MIN_PX, le=SIDE_MAX_PX, multiple_of=SIDE_STEP_PX)  # of a picture, in pixels


class Record(BaseModel):
    """Base of everything that is stored or sent: immutable. Unknown fields are a newer version's, and are kept.

    What people send is checked before, by `bot.asking.arguments`, which forbids unknown fields.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


class Stored(Record):
    """Base of records that are objects in the store, or in Redis. A kind's own version is the field's default.

    It is raised when older versions would misunderstand the record: not for a field that they may ignore.
    """

    schema_version: int = Field(1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _before_there_were_versions(cls, data: Any, info: ValidationInfo) -> Any:
        """Read a record without a version as one of version 1."""
        return {"schema_version": 1, **data} if info.mode == "json" and isinstance(data, dict) else data

    @classmethod
    def known_version(cls) -> int:
        """The version of this kind of record that this Darkroom writes, and the newest that it understands."""
        return int(cls.model_fields["schema_version"].default)

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of Darkroom wrote it, in a way that this one may misunderstand."""
        return self.schema_version > self.known_version()


class Job(Stored):
    """What every accepted job says of itself."""

    id: Id = Field(default_factory=new_id)
    kind: str
    space: str
    owner: str
    said: Text = ""  # the command as the person gave it, for lists and *again*
    said_in: str = ""  # the channel
    shared: Annotated[Audience, NewerValues] | None = None  # who sees it beside its owner; None: it was not noted yet
    shared_with: str = ""  # the channel, or the Discord role or Slack user group
    accepted_s: float = Field(default_factory=ordered_s)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of all subjects that the job is about."""
        return ()


class TrainJob(Job):
    """Learn a subject from its photos."""

    kind: Literal["train"] = "train"
    subject: Part
    others: tuple[Part, ...] = Field((), max_length=OTHERS_MAX)  # ids of those that are learned together with it
    method: Method | None = None  # None: nobody asked for one; the first attempt writes down which it takes
    steps: int | None = Field(None, ge=1, le=STEPS_MAX)  # None: as the recipe says
    recipe: dict[str, str | int | float | bool] = {}  # what is to be otherwise in the recipe besides
    seed: int = Field(0, ge=0, le=SEED_MAX)
    note: Text = ""  # what was said of the photos on acceptance: stands before whatever is said of this job

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of all subjects that are learned."""
        return (self.subject, *self.others)


class ImagineJob(Job):
    """Draw pictures from a prompt, in which `[name]` or `[V]` may stand for subjects."""

    kind: Literal["imagine"] = "imagine"
    prompt: Text  # as the person wrote it
    subject: Part | None = None  # id of the subject that the prompt names first
    others: tuple[Part, ...] = Field((), max_length=OTHERS_MAX)  # ids of those that it names besides
    model_prompt: Text  # as the model reads it: identifiers in place of [name] or [V]
    count: int = Field(4, ge=1, le=16)  # these limits are the front door's, too: a body may have been tampered with
    seed: int = Field(ge=0, le=SEED_MAX)
    steps: int = Field(30, ge=1, le=150)
    guidance: float = Field(5.0, ge=1, le=30)
    negative: Text = ""
    scheduler: SchedulerName = "dpm++2m"
    size_px: int | None = Side  # of a square; None: the base model's own size
    width_px: int | None = Side  # with a height: of pictures that need not be square
    height_px: int | None = Side
    aspect: Aspect = "1:1"  # of pictures with as many pixels as the base model's own, where no size is given
    vary_seed: int | None = Field(None, ge=0, le=SEED_MAX)  # *variations*: its noise is near that of this seed
    unasked: tuple[Unasked, ...] = Field((), max_length=3)  # what nobody asked for: the base model's own counts there

    @property
    def size(self) -> Size | None:
        """Width and height; None if they follow from the base model's own size."""
        if self.width_px and self.height_px:
            return Size(self.width_px, self.height_px)
        return Size(self.size_px, self.size_px) if self.size_px else None

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of all subjects that the prompt names, in its order."""
        return (self.subject, *self.others) if self.subject else ()


class NewerJob(Job):
    """A job that a newer version accepted, of which this one understands no more than who asked, and for what.

    It stays queued for a worker of that version; it can be listed, followed, cancelled and deleted.
    """

    kind: Annotated[str, Field(pattern=rf"^{WORD.pattern}$")]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of the subjects that it names where jobs of today do."""
        extra = self.model_extra or {}
        others = extra.get("others")
        found = [extra.get("subject"), *(others if isinstance(others, list) else [])]
        return tuple(each for each in found if isinstance(each, str) and is_id(each))


_KNOWN_JOB: TypeAdapter[TrainJob | ImagineJob] = TypeAdapter(
    Annotated[TrainJob | ImagineJob, Field(discriminator="kind")]
)
_NEWER_JOB = TypeAdapter(NewerJob)
_STAND_INS = {"kind": "unknown", "space": "", "owner": "", "shared": "private"}  # a job of nobody, which nobody sees
StoredJob = TrainJob | ImagineJob | NewerJob
NEWER_WORKER = "waits for a worker of a newer version"  # what is said of a NewerJob


def read_stored_job(body: bytes, job: str = "") -> StoredJob:
    """Parse a stored job, whose id is `job` if a newer version writes ids otherwise; raises Damaged."""
    try:
        known = _KNOWN_JOB.validate_json(body)
        return _NEWER_JOB.validate_json(body) if known.is_newer else known
    except ValidationError as error:
        with suppress(ValidationError):
            if version_of(body) > NewerJob.known_version():
                return NewerJob.model_validate(understood(body, NewerJob, _STAND_INS | {"id": job}))
            if all(map(is_newer_value, error.errors())):
                return _NEWER_JOB.validate_json(body)
        raise Damaged(f"A job's record is damaged: {error.errors()[0]['msg']}.") from error


def read_job(body: bytes) -> TrainJob | ImagineJob:
    """Parse a stored job that this version can do; raises Damaged, or Newer where a newer version is needed."""
    job = read_stored_job(body)
    if isinstance(job, NewerJob):
        raise Newer(f"Job {job.id} was accepted by a newer version of Darkroom.")
    return job


class Picture(Record):
    """One picture in the store, with the seed that remakes it."""

    key: ObjectName
    width_px: int = Field(ge=0, le=PIXELS_MAX)
    height_px: int = Field(ge=0, le=PIXELS_MAX)
    seed: int | None = None
    caption: str = ""  # alt text
    step: int | None = None  # of the training, for a sample picture


def until(pictures: tuple[Picture, ...], step: int) -> tuple[Picture, ...]:
    """Sample pictures of a training as far as it is kept; all of them where that is not known, 0."""
    return tuple(picture for picture in pictures if not step or not picture.step or picture.step <= step)


class Progress(Stored):
    """Where a running job is. Sent at least once a second; the newest replaces all before."""

    job: str
    phase: Annotated[Phase, NewerValues]
    step: int = 0
    of: int = 0
    losses: tuple[float, ...] = Field((), max_length=MANY)  # thinned to at most 60 values over the whole run
    left_s: float | None = None  # time left in this job, if it can be told
    validated: tuple[float, float] | None = None  # newest loss on what is held back: instance, prior
    samples: tuple[Picture, ...] = Field((), max_length=MANY)  # sample pictures while training, oldest first
    place: int = 0  # while queued: how many jobs are ahead
    obstacle: str = ""  # while queued: why no worker takes any job
    at_s: float = Field(default_factory=time.time)


class Candidate(Record):
    """A subject as it was at one step of its training, to be chosen."""

    step: int
    weights_key: ObjectName
    weights_sha256: Part
    measures: dict[str, float] = {}  # how good it was found at a glance, where somebody looked


class Learned(Record):
    """What a training has made, as the subject's record is to say it."""

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
    learned: Learned | None = None
    others: dict[str, Learned] = {}  # by id of the subject: of those that were learned together with the first
    subject: str | None = None
    subject_version: str | None = None  # sha256 of the subject's weights; of several, with commas between them
    steps: int | None = None
    first_step_s: float | None = None  # from acceptance to the first step of the attempt that won
    loss_first: float | None = None
    loss_last: float | None = None
    validated: tuple[tuple[int, float, float], ...] = ()  # losses on what was held back: step, instance, prior
    settings: dict[str, str | int | float | None] = {}

    def learned_of(self, subject: str) -> Learned | None:
        """What was learned of one of the job's subjects, by its id."""
        return self.others.get(subject, self.learned)


def job_key(job: str) -> str:
    """Name of the object that holds what was accepted."""
    return f"jobs/{job}/job.json"


def outcome_key(job: str) -> str:
    """Name of the object whose conditional put publishes the job."""
    return f"jobs/{job}/outcome.json"


def attempt_prefix(job: str, attempt: str) -> str:
    """Prefix of what one attempt of a job produces; an attempt that loses the outcome leaves only this."""
    return f"jobs/{job}/{attempt}/"
