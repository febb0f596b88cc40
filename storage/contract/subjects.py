"""Records of subjects: what was learned, for whom, from which photos; and the keys below each."""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from storage.contract.base import Record, Stored
from storage.contract.fields import MANY, NewerValues, ObjectName, ObjectNameOrEmpty, Part, PartOrEmpty
from storage.contract.jobs import Audience, Method
from storage.contract.outcomes import Candidate, Picture
from storage.contract.photo_source import DrawnFrom
from storage.ids import new_id, ordered_s
from storage.text import fold

NAMES = "names/"
UNACCEPTED = "unaccepted"
SubjectState = Literal["learning", "ready", "failed"]


class Photo(Record):
    """A photo as prepared for training: square, upright, stripped of metadata; transparent where no subject is."""

    key: ObjectName
    sha256: Part
    name: str  # as the person called the file; for messages only
    side_px: int
    caption: str = ""  # what the person says is in it
    whole: ObjectNameOrEmpty = ""  # key of the photo as it was before it was cut square, if it was not square by then
    whole_sha256: PartOrEmpty = ""


class Subject(Stored):
    """The record of one subject."""

    id: Part = Field(default_factory=new_id)
    space: str
    owner: str
    name: str
    noun: str  # the class noun: "dog"
    identifier: str = ""  # the rare token; chosen by the trainer, which has the tokenizer
    base_model: str  # as the bot's settings name it
    base_revision: str = ""  # which one of that name it was trained on: the commit on the hub
    base_sha256: str = ""  # and what its files hash to
    state: Annotated[SubjectState, NewerValues] = "learning"
    method: Annotated[Method, NewerValues] | None = None  # None: not learned yet, and nobody asked for one
    photos: tuple[Photo, ...] = Field((), max_length=MANY)
    weights_key: ObjectName | None = None
    weights_sha256: Part | None = None
    recipe: dict[str, str | int | float | bool | None] = {}
    class_set: ObjectNameOrEmpty = ""  # name of the class images that it was learned beside
    photos_differ: int = 0  # how many of them are unlike all others; 0: it is not known
    metrics: dict[str, float] = {}  # of its report card, or of a glance at the candidate that people chose
    samples: tuple[Picture, ...] = Field((), max_length=MANY)
    before_after: Picture | None = None  # the plain class, before and after it was learned
    references: int = 0  # how many of its photos its base model can draw it from, with nothing learned; 0: none
    first_look: dict[str, float] = {}  # measured of what is drawn so
    compared: Picture | None = None  # drawn so, and below as it was learned
    drawn_from: Annotated[DrawnFrom, NewerValues] = "training"  # which of the two draws it once it is learned
    kept_step: int = 0  # of its training; 0: it is not known
    candidates: tuple[Candidate, ...] = ()  # what people may still choose from, itself among them
    choices: Picture | None = None  # of them
    shared: Annotated[Audience, NewerValues] = "space"  # who may see and draw it beside its owner
    shared_with: str = ""  # the channel, or the Discord role or Slack user group
    job: str | None = None  # the training that made or is making it
    learned_s: float = 0.0  # when the training was accepted that it was learned in
    created_s: float = Field(default_factory=ordered_s)
    asked_s: float = 0.0  # when the newest training of it was accepted

    @property
    def has_photo_source(self) -> bool:
        """Whether it can be drawn from its photos alone."""
        return self.references > 0 and len(self.photos) > 0

    @property
    def is_drawable(self) -> bool:
        """Whether it can be drawn, by what was learned or from its photos."""
        return self.state == "ready" or (self.has_photo_source and self.state in ("learning", "failed"))

    @property
    def is_drawn_from_photos(self) -> bool:
        """Whether it is drawn from its photos where it is alone in a picture."""
        return self.has_photo_source and (self.state != "ready" or self.drawn_from == "photos")


def subject_key(subject: str) -> str:
    """Name of a subject's record."""
    return f"subjects/{subject}/subject.json"


def unaccepted_key(subject: str) -> str:
    """Name of the mark on a new subject whose training is not accepted yet; it holds the id of the job to be."""
    return f"subjects/{subject}/{UNACCEPTED}"


def checkpoint_prefix(subject: str, job: str) -> str:
    """Prefix of the checkpoints of a training."""
    return f"subjects/{subject}/checkpoints/{job}/"


def logs_prefix(subject: str) -> str:
    """Prefix of what TensorBoard shows of trainings of a subject, each below its own id."""
    return f"subjects/{subject}/logs/"


def weights_prefix(subject: str) -> str:
    """Prefix of what trainings learned of a subject, each below its own id; the record says which counts."""
    return f"subjects/{subject}/weights/"


def samples_prefix(subject: str) -> str:
    """Prefix of the sample pictures of trainings with others, each below its own id; of one alone its job has them."""
    return f"subjects/{subject}/samples/"


def name_prefix(space: str) -> str:
    """Prefix of the names that are taken in a space; hashed, like the names, because people typed it."""
    return f"{NAMES}{hashlib.sha256(space.encode()).hexdigest()[:20]}/"


def name_key(space: str, name: str) -> str:
    """Name of the object that reserves a name in a space, and holds the id of its subject."""
    digest = hashlib.sha256(f"{space}\n{fold(name)}".encode()).hexdigest()
    return f"{name_prefix(space)}{digest[:40]}"
