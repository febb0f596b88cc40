"""The seam between worker and engine: JSON lines over the engine's standard input and output.

    worker → engine    {"do": "train", …TrainTask} · {"do": "imagine", …ImagineTask} · {"do": "cancel", "job": id} ·
                       {"do": "pause"}
    engine → worker    Hello, once ready, or Refusal · Report, as often as it likes · Result, once for each task

Files travel by path in a folder that the worker makes for each job.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from storage.jobs import Method, Phase, Record, SchedulerName
from storage.sizes import Aspect


class Pupil(Record):
    """One subject of a training."""

    subject: str
    noun: str
    photos: tuple[str, ...]  # paths of prepared photos
    wholes: tuple[str, ...] = ()  # paths of the same before they were cut square, where they are to be learned so
    captions: tuple[str, ...] = ()  # of each of them; empty where a person said nothing
    differ: int = 0  # how many of them are unlike all others
    class_set: str  # path of the class set; drawn there if there is no such file
    class_set_gently: str = ""  # where it is drawn instead when memory is short: it is not the same to the last bit


class TrainTask(Pupil):
    """Learn a subject, or several together."""

    do: Literal["train"] = "train"
    job: str
    folder: str  # where weights and samples are to be written
    taken: tuple[str, ...]  # identifiers that other subjects have
    others: tuple[Pupil, ...] = ()  # who is learned together with it
    recipe: dict[str, str | int | float | bool | None]
    seed: int
    checkpoint_s: float  # time between two checkpoints
    begun: str | None = None  # path of the checkpoint to go on from
    gentle: bool = False  # with as little memory as can be
    shards: bool = False  # each of several engines keeps but a share of what is learned; they settle it themselves

    @property
    def pupils(self) -> tuple[Pupil, ...]:
        """All subjects of the training."""
        return (self, *self.others)


class ImagineTask(Record):
    """Draw pictures."""

    do: Literal["imagine"] = "imagine"
    job: str
    folder: str
    prompt: str
    weights: str | None  # path of a subject's weights; None: the base model
    adapters: tuple[str, ...] = ()  # paths of LoRA that is added to them, of other subjects
    seeds: tuple[int, ...]
    steps: int
    guidance: float
    negative: str
    scheduler: SchedulerName
    size: tuple[int, int] | None = None  # width and height in pixels; None: as an aspect of a square's size
    aspect: Aspect = "1:1"
    side_px: int | None = None  # of that square; None: the base model's own
    vary_seed: int | None
    facts: dict[str, str]  # written into each PNG beside the settings
    note: str = ""  # what people are told beside the pictures
    gentle: bool = False  # with as little memory as can be


class Cancel(Record):
    """Stop a task at its next step."""

    do: Literal["cancel"] = "cancel"
    job: str


class Pause(Record):
    """Write down where trainings are, and stop them; pictures are still drawn."""

    do: Literal["pause"] = "pause"


class Hello(Record):
    """The engine is ready; what it has loaded."""

    say: Literal["hello"] = "hello"
    base_sha256: str
    folder: str  # where the base model lies, in diffusers' layout
    revision: str = ""  # of a base model from the hub: its commit; of a single file: its hash
    image_px: int
    device: str
    method: Method = "full"  # what it learns by where nobody has asked for a method


class Refusal(Record):
    """The engine cannot start, for a reason that the operator can do something about."""

    say: Literal["refusal"] = "refusal"
    message: str


class Report(Record):
    """Where a task is."""

    say: Literal["report"] = "report"
    job: str
    phase: Phase
    step: int = 0
    of: int = 0
    losses: tuple[float, ...] = ()  # of the steps since the last report; of all before, when a training goes on
    sample: str | None = None  # path of a new sample picture
    checkpoint: str | None = None  # path of a new checkpoint, of `step`
    validated: tuple[float, float] | None = None  # loss on what is held back at `step`: instance, prior


class Choice(Record):
    """One candidate that people may choose."""

    step: int
    weights: str  # path
    measures: dict[str, float]


class Taught(Record):
    """What a result says of one more subject; the fields are those of the result."""

    identifier: str
    class_set: str
    metrics: dict[str, float] = {}
    before_after: str = ""  # path of the picture of the report card


class Result(Record):
    """How a task ended. `message` is for the person who asked, `detail` for the operator."""

    say: Literal["result"] = "result"
    job: str
    state: Literal["done", "failed", "cancelled", "paused", "died"]
    message: str = ""
    detail: str = ""
    files: tuple[str, ...] = ()  # imagine: a PNG per seed, then the grid; train: the weights
    identifier: str = ""
    losses: tuple[float, ...] = ()
    class_set: str = ""  # train: the one that was learned from
    metrics: dict[str, float] = {}  # train: of the report card
    before_after: str = ""  # train: path of the report card's picture, if there is one
    kept_step: int = 0  # train: the step at which it is kept
    choices: tuple[Choice, ...] = ()  # train: candidates to choose from, the one that is kept among them
    choices_sheet: str = ""  # train: path of their picture, a row each
    validated: tuple[tuple[int, float, float], ...] = ()  # train: losses on what is held back: step, instance, prior
    others: tuple[Taught, ...] = ()  # train: those that were learned together with it

    @property
    def taught(self) -> tuple[Taught, ...]:
        """What a training's result says of each of its subjects."""
        return Taught(**self.model_dump(include=set(Taught.model_fields))), *self.others


Task = TrainTask | ImagineTask
_TASKS: TypeAdapter[TrainTask | ImagineTask | Cancel | Pause] = TypeAdapter(
    Annotated[TrainTask | ImagineTask | Cancel | Pause, Field(discriminator="do")]
)
_NEWS: TypeAdapter[Hello | Refusal | Report | Result] = TypeAdapter(
    Annotated[Hello | Refusal | Report | Result, Field(discriminator="say")]
)


def read_task(line: bytes) -> TrainTask | ImagineTask | Cancel | Pause:
    """Parse what the worker wrote."""
    return _TASKS.validate_json(line)


def read_news(line: bytes) -> Hello | Refusal | Report | Result:
    """Parse what the engine wrote."""
    return _NEWS.validate_json(line)
