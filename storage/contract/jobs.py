"""THE CONTRACT between bot and trainer: jobs, their progress and their outcomes, all JSON.

A job is written to the object store before it is queued; the queue carries only its id. A worker writes the
outcome once, by a conditional put: whoever wins it has published.
"""

from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from storage.contract.base import Stored
from storage.contract.fields import (
    WORD,
    Id,
    NewerValues,
    Part,
    Text,
)
from storage.contract.first_and_others import job_as_before, with_subjects
from storage.contract.schema_versions import is_newer_value, understood, version_of
from storage.contract.sizes import SIDE_MAX_PX, SIDE_MIN_PX, SIDE_STEP_PX, Aspect, Size
from storage.errors import Damaged, Newer
from storage.ids import is_id, new_id, ordered_s

Method = Literal["full", "lora"]  # the networks themselves learn, the paper's way; or LoRA beside them
SchedulerName = Literal["ddim", "pndm", "euler", "euler-a", "dpm++2m"]
Audience = Literal["private", "channel", "space", "group"]
State = Literal["queued", "running", "done", "failed", "cancelled"]

Unasked = Literal["steps", "guidance", "scheduler"]

SEED_MAX = 2**32 - 1
STEPS_MAX = 4000  # of a training
SUBJECTS_MAX = 17  # of a job: more than any command takes
Side: Any = Field(None, ge=SIDE_MIN_PX, le=SIDE_MAX_PX, multiple_of=SIDE_STEP_PX)  # of a picture, in pixels


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
    subjects: tuple[Part, ...] = Field((), max_length=SUBJECTS_MAX)  # ids of those that it is about

    @model_validator(mode="before")
    @classmethod
    def _name_subjects(cls, data: Any) -> Any:
        return with_subjects(data)

    @model_serializer(mode="wrap")
    def _name_first_and_others(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        return job_as_before(dump(self)) if info.mode == "json" else dump(self)


class TrainJob(Job):
    """Learn a subject from its photos, or several together."""

    kind: Literal["train"] = "train"
    subjects: tuple[Part, ...] = Field(min_length=1, max_length=SUBJECTS_MAX)
    method: Method | None = None  # None: nobody asked for one; the first attempt writes down which it takes
    steps: int | None = Field(None, ge=1, le=STEPS_MAX)  # None: as the recipe says
    recipe: dict[str, str | int | float | bool] = {}  # what is to be otherwise in the recipe besides
    seed: int = Field(0, ge=0, le=SEED_MAX)
    note: Text = ""  # what was said of the photos on acceptance: stands before whatever is said of this job


class ImagineJob(Job):
    """Draw pictures from a prompt, in which `[name]` or `[V]` may stand for subjects: `subjects`, in its order."""

    kind: Literal["imagine"] = "imagine"
    prompt: Text  # as the person wrote it
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


class NewerJob(Job):
    """A job that a newer version accepted, of which this one understands no more than who asked, and for what.

    It stays queued for a worker of that version; it can be listed, followed, cancelled and deleted.
    """

    kind: Annotated[str, Field(pattern=rf"^{WORD.pattern}$")]

    @model_validator(mode="before")
    @classmethod
    def _name_subjects(cls, data: Any) -> Any:
        """Know the subjects that it names where jobs of today do, as far as they are ids."""
        fields = with_subjects(data)
        named = fields.get("subjects", ()) if isinstance(fields, dict) else ()
        ids = [each for each in named if isinstance(each, str) and is_id(each)] if named is not None else []
        return {**fields, "subjects": ids} if isinstance(fields, dict) else fields


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


def job_key(job: str) -> str:
    """Name of the object that holds what was accepted."""
    return f"jobs/{job}/job.json"


def attempt_prefix(job: str, attempt: str) -> str:
    """Prefix of what one attempt of a job produces; an attempt that loses the outcome leaves only this."""
    return f"jobs/{job}/{attempt}/"
