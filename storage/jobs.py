"""THE CONTRACT between bot and trainer: jobs, their progress and their outcomes, all JSON.

A job is written to the object store before it is queued; the queue carries only its id. A worker writes the
outcome once, by a conditional put: whoever wins it has published.
"""

import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from storage.errors import Damaged
from storage.ids import new_id

Method = Literal["full", "lora"]  # the networks themselves learn, the paper's way; or LoRA beside them
SchedulerName = Literal["ddim", "pndm", "euler", "euler-a", "dpm++2m"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
Phase = Literal["queued", "loading", "class images", "learning", "sampling", "drawing", "saving"]

SEED_MAX = 2**32 - 1


class Record(BaseModel):
    """Base of everything that is stored: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(Record):
    """What every accepted job says of itself."""

    id: str = Field(default_factory=new_id)
    space: str
    owner: str
    said: str = ""  # the command as the person gave it, for lists and *again*
    accepted_s: float = Field(default_factory=time.time)


class TrainJob(Job):
    """Learn a subject from its photos."""

    kind: Literal["train"] = "train"
    subject: str
    others: tuple[str, ...] = ()  # ids of those that are learned together with it
    method: Method | None = None  # None: nobody asked for one; the first attempt writes down which it takes
    steps: int | None = None  # None: as the recipe says
    recipe: dict[str, str | int | float | bool] = {}  # what is to be otherwise in the recipe besides
    seed: int = 0
    note: str = ""  # what was said of the photos on acceptance: stands before whatever is said of this job

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of all subjects that are learned."""
        return (self.subject, *self.others)


class ImagineJob(Job):
    """Draw pictures from a prompt, in which `[name]` or `[V]` may stand for subjects."""

    kind: Literal["imagine"] = "imagine"
    prompt: str  # as the person wrote it
    subject: str | None = None  # id of the subject that the prompt names first
    others: tuple[str, ...] = ()  # ids of those that it names besides
    model_prompt: str  # as the model reads it: identifiers in place of [name] or [V]
    count: int = Field(4, ge=1, le=16)  # these limits are the front door's, too: a body may have been tampered with
    seed: int = Field(ge=0, le=SEED_MAX)
    steps: int = Field(30, ge=1, le=150)
    guidance: float = Field(5.0, ge=1, le=30)
    negative: str = ""
    scheduler: SchedulerName = "dpm++2m"
    size_px: int | None = Field(None, ge=32, le=2048, multiple_of=8)  # None: the base model's own size
    vary_seed: int | None = None  # *variations*: the pictures begin near the noise of this seed

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of all subjects that the prompt names, in its order."""
        return (self.subject, *self.others) if self.subject else ()


AnyJob = Annotated[TrainJob | ImagineJob, Field(discriminator="kind")]
_ANY_JOB: TypeAdapter[TrainJob | ImagineJob] = TypeAdapter(AnyJob)


def read_job(body: bytes) -> TrainJob | ImagineJob:
    """Parse a stored job; raises Damaged on anything else."""
    try:
        return _ANY_JOB.validate_json(body)
    except ValidationError as error:
        raise Damaged(f"A job's record is damaged: {error.errors()[0]['msg']}.") from error


class Picture(Record):
    """One picture in the store, with the seed that remakes it."""

    key: str
    width_px: int
    height_px: int
    seed: int | None = None
    caption: str = ""  # alt text
    step: int | None = None  # of the training, for a sample picture


def until(pictures: tuple[Picture, ...], step: int) -> tuple[Picture, ...]:
    """Sample pictures of a training as far as it is kept; all of them where that is not known, 0."""
    return tuple(picture for picture in pictures if not step or not picture.step or picture.step <= step)


class Progress(Record):
    """Where a running job is. Sent at least once a second; the newest replaces all before."""

    job: str
    phase: Phase
    step: int = 0
    of: int = 0
    losses: tuple[float, ...] = ()  # thinned to at most 60 values over the whole run
    left_s: float | None = None  # time left in this job, if it can be told
    validated: tuple[float, float] | None = None  # newest loss on what is held back: instance, prior
    samples: tuple[Picture, ...] = ()  # sample pictures while training, oldest first
    place: int = 0  # while queued: how many jobs are ahead
    obstacle: str = ""  # while queued: why no worker takes any job
    at_s: float = Field(default_factory=time.time)


class Candidate(Record):
    """A subject as it was at one step of its training, to be chosen."""

    step: int
    weights_key: str
    weights_sha256: str
    measures: dict[str, float] = {}  # how good it was found at a glance, where somebody looked


class Learned(Record):
    """What a training has made, as the subject's record is to say it."""

    weights_key: str
    weights_sha256: str
    identifier: str
    recipe: dict[str, str | int | float | bool | None]
    base_revision: str = ""
    base_sha256: str = ""
    class_set: str = ""  # name of the class images it was learned beside
    photos_differ: int = 0  # how many of its photos are unlike all others; 0: it is not known
    metrics: dict[str, float] = {}  # of the report card, where there is one
    before_after: Picture | None = None  # of it: the plain class before and after, each column of one seed
    kept_step: int = 0  # the step at which it is kept; 0: it is not known
    candidates: tuple[Candidate, ...] = ()  # what people may choose from, what is kept among them
    choices: Picture | None = None  # of them, a row each
    samples: tuple[Picture, ...] = ()  # where it was learned with others: the sample pictures that are its own


class Outcome(Record):
    """How a job ended; written once to `jobs/<job>/outcome.json`."""

    job: str
    state: Literal["done", "failed", "cancelled"]
    message: str  # a sentence for the person who asked
    detail: str = ""  # for the operator; never shown in a chat
    seconds: float = 0.0  # from start of the attempt that won to its end
    pictures: tuple[Picture, ...] = ()  # imagine: one each; train: the sample pictures
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
