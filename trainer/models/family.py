"""What Darkroom asks of a family of base models before it is loaded. Without torch, for the worker.

A family is a folder beside this file: a description that fulfils `Family`, and what is loaded, a `BaseModel` with a
`Denoiser`. Only that folder knows which networks there are and what files call their weights.
"""

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
    from trainer.models.sources import Source


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


class Licence(NamedTuple):
    """The licence of a family's weights."""

    name: str
    url: str
    conditions: str = ""  # that somebody has to accept, in a sentence


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

    @property
    def licence(self) -> Licence:
        """The licence of the weights that its makers have published."""

    @property
    def defaults(self) -> Mapping[Method, FamilyDefaults]:
        """The usual recipe, by the methods that it can be learned by."""

    @property
    def method(self) -> Method | None:
        """The method if nobody asks for one; None: full where memory suffices."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The parts that a subject may change, the one that predicts first."""

    @property
    def bare_networks(self) -> Mapping[str, str]:
        """Weights by which a file of the network that predicts alone is known, and what its names lack in front."""

    def recognises(self, names: Collection[str], index: Index) -> bool:
        """Whether a model is of this family, by the names of its files and, where they do not tell, its index."""

    def is_of(self, folder: Path) -> bool:
        """Whether a model in diffusers' layout that the family recognises is this very kind of it, by its settings."""

    def drawing(self, folder: Path) -> DrawingDefaults:
        """How it draws unless its files say otherwise."""

    def needed_files(self, names: Collection[str], half: bool, called: str) -> list[str]:
        """Those of a model's files that are needed, in half precision if `half`; raises SetupError for what lacks."""

    def check(self, folder: Path, called: str) -> None:
        """Raise SetupError saying why a model cannot be trained here, by its settings."""

    def check_weights(self, source: "Source", dtype: "torch.dtype") -> None:
        """Compare all weights with the settings, by the files' headers alone; raises SetupError."""

    def skeleton(self, folder: Path, dtype: "torch.dtype") -> "BaseModel":
        """The model on the meta device, by its settings alone: it has shapes, takes no memory, and reads no prompts."""

    def load(self, source: "Source", device: "torch.device", dtype: "torch.dtype") -> "BaseModel":
        """Load the model, frozen; raises SetupError for what does not fit together."""
