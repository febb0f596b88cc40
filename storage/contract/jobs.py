"""THE CONTRACT between bot and trainer: jobs, their progress and their outcomes, all JSON.

`storage.kinds` has the records of each kind of job.

A job is written to the object store before it is queued; the queue carries only its id. A worker writes the
outcome once, by a conditional put: whoever wins it has published.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer, model_validator

from storage.contract.base import Stored
from storage.contract.fields import WORD, Id, NewerValues, Part, Text
from storage.ids import is_id, new_id, ordered_s

Method = Literal["full", "lora"]  # the networks themselves learn, the paper's way; or LoRA beside them
SchedulerName = Literal["ddim", "pndm", "euler", "euler-a", "dpm++2m"]
Quality = Literal["draft", "final"]  # drawn by the base model's few-step twin, or by the base model itself
Audience = Literal["private", "channel", "space", "group"]

SEED_MAX = 2**32 - 1
STEPS_MAX = 4000  # of a training
SUBJECTS_MAX = 17  # of a job: more than any command takes


class Job(Stored):
    """What every accepted job says of itself; each kind of job has a subclass."""

    is_understood: ClassVar[bool] = True  # whether this version knows what the job is

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

    @property
    def index_keys(self) -> tuple[str, ...]:
        """What else a job of its space is looked up by: see `storage.lifecycle.job_index`."""
        return ()

    @model_validator(mode="before")
    @classmethod
    def _name_subjects(cls, data: Any) -> Any:
        return _with_subjects(data)

    # While a deployment is updated, processes of the version before read what newer ones have written.
    @model_serializer(mode="wrap")
    def _name_first_and_others(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Write the subjects in both forms: the version before named the first apart, and the `others`."""
        fields: dict[str, Any] = dump(self)
        if info.mode != "json" or not (subjects := fields.get("subjects")):
            return fields
        return {**fields, "subject": subjects[0], "others": subjects[1:]}


def _with_subjects(data: Any) -> Any:
    """The fields of a job with `subjects` in place of `subject` and `others`, whichever form it was written in."""
    if not isinstance(data, Mapping) or not {"subject", "others"} & data.keys():
        return data
    fields = {name: value for name, value in data.items() if name not in ("subject", "others")}
    if "subjects" in fields:
        return fields
    first, others = data.get("subject"), data.get("others") or ()
    if first is not None and isinstance(others, list | tuple):
        fields["subjects"] = (first, *others)
    return fields


class NewerJob(Job):
    """A job that a newer version accepted, of which this one understands no more than who asked, and for what.

    It stays queued for a worker of that version; it can be listed, followed, cancelled and deleted.
    """

    is_understood: ClassVar[bool] = False
    kind: Annotated[str, Field(pattern=rf"^{WORD.pattern}$")]

    @model_validator(mode="before")
    @classmethod
    def _name_subjects(cls, data: Any) -> Any:
        """Know the subjects that it names where jobs of today do, as far as they are ids."""
        fields = _with_subjects(data)
        named = fields.get("subjects", ()) if isinstance(fields, dict) else ()
        ids = [each for each in named if isinstance(each, str) and is_id(each)] if named is not None else []
        return {**fields, "subjects": ids} if isinstance(fields, dict) else fields


NEWER_WORKER = "waits for a worker of a newer version"  # what is said of a NewerJob


def job_key(job: str) -> str:
    """Name of the object that holds what was accepted."""
    return f"jobs/{job}/job.json"


def attempt_prefix(job: str, attempt: str) -> str:
    """Prefix of what one attempt of a job produces; an attempt that loses the outcome leaves only this."""
    return f"jobs/{job}/{attempt}/"
