"""The protocol between worker and engine: JSON lines over the engine's standard input and output.

    worker → engine    {"do": "train", …TrainTask} · {"do": "imagine", …ImagineTask} · {"do": "cancel", "job": id} ·
                       {"do": "watch", "job": id, "on": bool} · {"do": "pause"}
    engine → worker    Hello, once ready, or Refusal · Report, as often as it likes · Heartbeat, where there is
                       nothing to report · Load, every few seconds where it has changed · Result, once for each task

Files travel by path in a folder that the worker makes for each job. Numbers are finite: JSON has no NaN, and what is
none is left out. A field that one side does not know is ignored, as after an update beneath a running worker.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from storage.contract.jobs import Method, Quality, SchedulerName
from storage.contract.progress import Phase
from storage.contract.sizes import Aspect

OURS = "Something went wrong on our side while working on this."


def _is_finite(value: Any) -> bool:
    """Whether a number, or each of several, is finite; null, which NaN often is written as, is not."""
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _only_finite(values: Any) -> Any:
    """The numbers among several, or those by name, that are finite."""
    if isinstance(values, dict):
        return {name: value for name, value in values.items() if _is_finite(value)}
    return [value for value in values if _is_finite(value)] if isinstance(values, list | tuple) else values


Losses = Annotated[tuple[float, ...], BeforeValidator(_only_finite)]
Measures = Annotated[dict[str, float], BeforeValidator(_only_finite)]
Validated = Annotated[tuple[float, float] | None, BeforeValidator(lambda pair: pair if _is_finite(pair) else None)]
ValidatedSteps = Annotated[tuple[tuple[int, float, float], ...], BeforeValidator(_only_finite)]


class ProtocolMessage(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SubjectTask(ProtocolMessage):
    """One subject of a training."""

    subject: str
    noun: str
    photos: tuple[str, ...]  # paths of prepared photos
    wholes: tuple[str, ...] = ()  # paths of the same before they were cut square, where they are to be learned so
    captions: tuple[str, ...] = ()  # of each of them; empty where a person said nothing
    differ: int = 0  # how many of them are unlike all others
    references: tuple[str, ...] = ()  # paths of those that it is drawn from where nothing is learned yet
    class_set: str = ""  # path of the class set, drawn there if there is no such file; empty if none is needed
    class_set_gently: str = ""  # where it is drawn instead when memory is short: it is not the same to the last bit


class EngineTask(ProtocolMessage):
    """What every task says."""

    job: str
    folder: str  # where what is made is to be written
    gentle: bool = False  # with as little memory as can be

    @property
    def compiles(self) -> bool:
        """Whether its first step compiles, and says nothing before it is done."""
        return False


class TrainTask(EngineTask):
    """Learn one or more subjects."""

    do: Literal["train"] = "train"
    subjects: tuple[SubjectTask, ...] = Field(min_length=1)
    taken: tuple[str, ...]  # identifiers that other subjects have
    recipe: dict[str, str | int | float | bool | None]
    seed: int
    checkpoint_s: float  # time between two checkpoints
    begun: str | None = None  # path of the checkpoint to go on from
    shards: bool = False  # each of several engines keeps but a share of what is learned; they settle it themselves

    @property
    def compiles(self) -> bool:
        """Whether its first step compiles, and says nothing before it is done."""
        return self.recipe.get("compiled", "off") != "off"


class ImagineTask(EngineTask):
    """Draw pictures."""

    do: Literal["imagine"] = "imagine"
    owner: str = ""  # who takes turns with others for the engine's time
    prompt: str
    weights: str | None  # path of a subject's weights; None: the base model
    adapters: tuple[str, ...] = ()  # paths of LoRA that is added to them, of other subjects
    references: tuple[str, ...] = ()  # paths of photos that the prompt refers to
    seeds: tuple[int, ...]
    steps: int
    guidance: float
    negative: str
    scheduler: SchedulerName
    size: tuple[int, int] | None = None  # width and height in pixels; None: as an aspect of a square's size
    aspect: Aspect = "1:1"
    side_px: int | None = None  # of that square; None: the base model's own
    vary_seed: int | None
    exact: bool = False  # alone, so that its bits do not depend on who else draws
    quality: Quality = "final"  # by which model: the base, or its few-step twin for a draft
    facts: dict[str, str]  # written into each PNG beside the settings
    note: str = ""  # what people are told beside the pictures


class Cancel(ProtocolMessage):
    """Stop a task at its next step."""

    do: Literal["cancel"] = "cancel"
    job: str


class Watch(ProtocolMessage):
    """Somebody looks at a drawing, or nobody does any more: previews are made of what is looked at alone."""

    do: Literal["watch"] = "watch"
    job: str
    on: bool


class Pause(ProtocolMessage):
    """Write down where trainings are, and stop them; pictures are still drawn."""

    do: Literal["pause"] = "pause"


class Hello(ProtocolMessage):
    """The engine is ready; what it has loaded."""

    say: Literal["hello"] = "hello"
    base_sha256: str
    folder: str  # where the base model lies, in diffusers' layout
    revision: str = ""  # of a base model from the hub: its commit; of a single file: its hash
    image_px: int
    device: str
    twin_folder: str = ""  # where the few-step twin lies that draws drafts; empty without one
    method: Method = "full"  # what it learns by where nobody has asked for a method
    trainings_at_once: int = 1  # LoRA trainings whose steps it takes together, by its memory


class Refusal(ProtocolMessage):
    """The engine cannot start, for a reason that the operator can do something about."""

    say: Literal["refusal"] = "refusal"
    message: str


class Heartbeat(ProtocolMessage):
    """The engine lives, and has nothing to report: while it starts, or between two steps of a task."""

    say: Literal["alive"] = "alive"
    job: str = ""


class EngineLoad(ProtocolMessage):
    """How much the engine did in the last minute."""

    say: Literal["load"] = "load"
    rows_per_s: float = 0.0  # denoising steps of single pictures
    pictures_per_minute: float = 0.0
    subjects: int = 0  # whose weights are in memory
    training_share: float | None = None  # of the time that it worked; None if it did not
    trainings_at_once: int = 0  # LoRA trainings that share steps, as was measured since `Hello`; 0: not told


class ProgressReport(ProtocolMessage):
    """Where a task is."""

    say: Literal["report"] = "report"
    job: str
    phase: Phase
    step: int = 0
    of: int = 0
    losses: Losses = ()  # of the steps since the last report; of all before, when a training goes on
    sample: str | None = None  # path of a new sample picture
    preview: str | None = None  # path of a JPEG of what is drawn, as it looks so far
    pictures: tuple[str, ...] = ()  # paths of PNGs that are done since the last report: more of them are drawn
    checkpoint: str | None = None  # path of a new checkpoint, of `step`
    validated: Validated = None  # loss on what is held back at `step`: instance, prior


class CandidateReport(ProtocolMessage):
    """One candidate that people may choose."""

    step: int
    weights: str  # path
    measures: Measures


class SubjectResult(ProtocolMessage):
    """What a training's result says of one of its subjects."""

    identifier: str
    class_set: str  # path of the one that was learned from; empty if there was none
    metrics: Measures = {}  # of the report card
    before_after: str = ""  # path of the report card's picture, if there is one
    first_look: Measures = {}  # of what is drawn from photos alone
    compared: str = ""  # path of a picture of both, if the model draws from photos


class TaskResult(ProtocolMessage):
    """How a task ended. `message` is for the person who asked, `detail` for the operator."""

    say: Literal["result"] = "result"
    job: str
    state: Literal["done", "failed", "cancelled", "paused", "died"]
    message: str = ""
    detail: str = ""
    disk_full: bool = False  # there was no room for what it made: the job is to be tried again when there is
    files: tuple[str, ...] = ()  # what was made, if it is done: a PNG per seed and then the grid; or the weights


class TrainResult(TaskResult):
    """How a training ended that is done."""

    do: Literal["train"] = "train"
    subjects: tuple[SubjectResult, ...] = ()  # in the order of the task
    losses: Losses = ()
    kept_step: int = 0  # the step at which it is kept
    choices: tuple[CandidateReport, ...] = ()  # candidates to choose from, the one that is kept among them
    choices_sheet: str = ""  # path of their picture, a row each
    validated: ValidatedSteps = ()  # losses on what is held back: step, instance, prior


Task = TrainTask | ImagineTask
FromWorker = TrainTask | ImagineTask | Cancel | Watch | Pause
_TASKS: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="do")])


def _tag(message: Any) -> str:
    """What a message of the engine is, as JSON: results are told apart by the kind of task. Empty for what is none."""
    if not isinstance(message, dict):
        return ""
    is_training = (message.get("say"), message.get("do")) == ("result", "train")
    return "train" if is_training else str(message.get("say"))


FromEngine = Hello | Refusal | Heartbeat | EngineLoad | ProgressReport | TaskResult
_NEWS: TypeAdapter[FromEngine] = TypeAdapter(
    Annotated[
        Annotated[Hello, Tag("hello")]
        | Annotated[Refusal, Tag("refusal")]
        | Annotated[Heartbeat, Tag("alive")]
        | Annotated[EngineLoad, Tag("load")]
        | Annotated[ProgressReport, Tag("report")]
        | Annotated[TrainResult, Tag("train")]
        | Annotated[TaskResult, Tag("result")],
        Discriminator(_tag),
    ]
)


def read_task(line: bytes) -> FromWorker:
    """Parse what the worker wrote; raises pydantic's ValidationError."""
    return _TASKS.validate_json(line)


def read_news(line: bytes) -> FromEngine:
    """Parse what the engine wrote; raises pydantic's ValidationError."""
    return _NEWS.validate_json(line)


class _Envelope(ProtocolMessage):
    say: str = ""
    job: str = ""


def failure_of(line: bytes, result: bool = False) -> TaskResult | None:
    """The failure of the task that a line is about which cannot be read; None if it is about none, or no `result`."""
    try:
        envelope = _Envelope.model_validate_json(line)
    except ValidationError:
        return None
    if not envelope.job or (result and envelope.say != "result"):
        return None
    return TaskResult(
        job=envelope.job, state="failed", message=OURS, detail="worker and engine do not understand each other"
    )
