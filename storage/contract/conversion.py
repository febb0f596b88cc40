"""The contract of `darkroom export` and `darkroom import`: what the bot asks of a trainer's process, and the answers.

`python -m trainer.conversion` reads one request as JSON from standard input. On standard output it says in lines of
JSON what it is doing, and last how that ended.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from storage.contract.base import Record
from storage.contract.jobs import Method

Format = Literal["diffusers", "single", "lora"]  # a folder of diffusers'; one file of the original layout; a LoRA file
FilePrecision = Literal["half", "full"]


class ExportRequest(Record):
    """Write a subject as files that other programs read."""

    kind: Literal["export"] = "export"
    base_model: str
    learned_from: str = ""  # the base model of the training, as the settings named it then
    base_revision: str = ""  # and which one of that name it was, as in the subject's record
    base_sha256: str = ""
    weights: str  # path of what was learned
    folder: str  # path of an empty folder for what is written
    name: str
    noun: str
    identifier: str
    format: Format
    precision: FilePrecision = "half"
    rank: int | None = None  # of a LoRA file that is drawn from a full training; None: as is usual


class ImportRequest(Record):
    """Make of somebody else's file, or diffusers folder, what a training would have left."""

    kind: Literal["import"] = "import"
    base_model: str
    file: str  # path
    weights: str  # path to write to


Request = Annotated[ExportRequest | ImportRequest, Field(discriminator="kind")]
REQUESTS: TypeAdapter[ExportRequest | ImportRequest] = TypeAdapter(Request)


class ConversionProgress(Record):
    """What the process is doing, in a few words."""

    kind: Literal["doing"] = "doing"
    what: str


class ConversionResult(Record):
    """How it ended. Only one that is done has written anything that counts."""

    kind: Literal["ended"] = "ended"
    state: Literal["done", "refused", "failed"]  # refused: the person can mend it; failed: the operator
    says: str = ""  # a sentence or two
    method: Method | None = None  # of what was imported
    base_revision: str = ""  # which base model it was imported to, as in a subject's record
    base_sha256: str = ""


Answer = Annotated[ConversionProgress | ConversionResult, Field(discriminator="kind")]
ANSWERS: TypeAdapter[ConversionProgress | ConversionResult] = TypeAdapter(Answer)
