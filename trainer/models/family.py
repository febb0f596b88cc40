"""What Darkroom asks of a family of base models before it is loaded. Without torch, for the worker.

A family is a folder beside this file: a description that fulfils `Family`, and what is loaded, a `BaseModel` with a
`Denoiser`. Only that folder knows which networks there are and what files call their weights.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel as Settings
from pydantic import ConfigDict, Field

from storage.contract.jobs import Method, SchedulerName
from storage.contract.recipe import Prior

if TYPE_CHECKING:
    import torch

    from trainer.models.base import BaseModel
    from trainer.models.placement import Placement
    from trainer.models.sources import ModelSource


class DrawingDefaults(Settings):
    """How a base model draws where a person asks for nothing else; None: as is usual. Misspelt names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int | None = Field(None, ge=1, le=150)
    guidance: float | None = Field(None, ge=1, le=30)
    scheduler: SchedulerName | None = None
    size: int | None = Field(None, ge=32, le=2048, multiple_of=8)


class FamilyDefaults(NamedTuple):
    """How a family is usually learned by one method, by the names of a recipe's fields."""

    learning_rate: float
    text_learning_rate: float
    steps: int
    accumulation: int = 1
    prior: Prior = "class_set"
    rank: int | None = None  # None: that of the recipe


class Licence(NamedTuple):
    """The licence of a model's weights."""

    name: str
    url: str
    conditions: str = ""  # as they stand behind "on condition of"
    accept: str = ""  # what an operator sets where these have to be accepted before the model starts


class Twin(NamedTuple):
    """A few-step model that draws with LoRA of the base model that it was distilled from."""

    name: str  # on the hub
    transfer: str  # what is known of how LoRA goes from the one to the other, a clause


Index = Callable[[], Mapping[str, Any]]  # reads a model's `model_index.json`


class SingleFiles(Protocol):
    """Reads models that come as one file, in the layout of their makers."""

    @property
    def PREFIXES(self) -> tuple[str, ...]:  # noqa: N802 (a constant of the module that this is)
        """Beginnings of the names of what belongs to the networks."""

    def settings_for(self, path: Path, models: Path) -> Path:
        """A folder with settings and tokenizers for a file; raises SetupError naming what is missing from either."""

    def converted_folder(self, path: Path, models: Path) -> tuple[Path, str]:
        """The folder in `models` that a file was turned into, and the file's hash; raises SetupError."""

    def not_read(self, path: Path, settings: Path) -> list[str]:
        """Names of tensors in a file that belong to no network, and are not known to be harmless."""

    def model_names(self, path: Path) -> list[str]:
        """What a file calls itself, and is called."""


class Family(Protocol):
    """Base models whose networks have the same architecture; stateless."""

    @property
    def name(self) -> str:
        """What people call it."""

    def licence_of(self, folder: Path) -> Licence:
        """The licence of the weights that its makers have published, of this size."""

    @property
    def defaults(self) -> Mapping[Method, FamilyDefaults]:
        """The usual recipe, by the methods that it can be learned by."""

    @property
    def unfit(self) -> Mapping[str, str]:
        """Fields of a recipe that have to be 0 in this family, and why, a clause."""

    @property
    def method(self) -> Method | None:
        """The method if nobody asks for one; None: full where memory suffices."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The parts that a subject may change, the one that predicts first."""

    @property
    def file_mark(self) -> re.Pattern[str] | None:
        """A weight by whose name a model of it in a single file is known; None where more has to be looked at."""

    @property
    def layer_marks(self) -> re.Pattern[str] | None:
        """Names of layers by which LoRA files for it are known; None where shapes or nothing tells."""

    @property
    def references(self) -> int:
        """How many photos a drawing may refer to, so that a subject is drawn before it is learned; 0: none."""

    def twin_of(self, folder: Path) -> Twin | None:
        """The few-step model that its makers distilled from one of this size; None if there is none."""

    @property
    def bare_networks(self) -> Mapping[str, str]:
        """Weights by which a file of the network that predicts alone is known, and what its names lack in front."""

    def recognises(self, names: Collection[str], index: Index) -> bool:
        """Whether a model is of this family, by the names of its files and, where they do not tell, its index."""

    def is_of(self, folder: Path) -> bool:
        """Whether a model in diffusers' layout that the family recognises is this very kind of it, by its settings."""

    def drawing(self, folder: Path, distilled: bool) -> DrawingDefaults | None:
        """How it draws unless its files say otherwise; `distilled` where a name of it says that it is.

        None: as everybody's pictures, or as is usual for its kind of distillation.
        """

    def needed_files(self, names: Collection[str], half: bool, called: str) -> list[str]:
        """Those of a model's files that are needed, in half precision if `half`; raises SetupError for what lacks."""

    def single_files(self) -> SingleFiles:
        """What reads its models in a single file. Imports torch."""

    def check(self, folder: Path, called: str) -> None:
        """Raise SetupError saying why a model cannot be trained here, by its settings."""

    def check_weights(self, source: "ModelSource", dtype: "torch.dtype") -> None:
        """Compare all weights with the settings, by the files' headers alone; raises SetupError."""

    def skeleton(self, folder: Path, dtype: "torch.dtype") -> "BaseModel":
        """The model on the meta device, by its settings alone: it has shapes, takes no memory, and reads no prompts."""

    def load(self, source: "ModelSource", placement: "Placement") -> "BaseModel":
        """Load the model, frozen; raises SetupError for what does not fit together."""
