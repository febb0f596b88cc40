"""What files of other programs have of a family of base models: names of layers and weights, marks, metadata."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from trainer.models.key_locations import KeyLocation
from trainer.models.safetensors_files import SafetensorsFiles


class CheckpointKeys(NamedTuple):
    """How whole checkpoints of a family are laid out."""

    locations: dict[str, KeyLocation]  # of all weights, by the name of their part and their own
    backbone: tuple[str, ...]  # beginnings of names of the network that predicts: in diffusers' layout, in its makers'
    networks: tuple[str, ...]  # the same of all that a subject may change
    autoencoder: str  # the name of its part
    autoencoder_prefix: str


class ModelFiles(ABC):
    """What a loaded base model knows of files that are for it, or that it is written into."""

    pipeline_class: str  # of diffusers
    shown_name: str  # of the family in sentences; empty for a model that other programs know nothing of
    hint: str  # for people who open a single file in a web UI; empty where there is none

    @abstractmethod
    def pipeline(self) -> Any:
        """The base model as diffusers has it whole."""

    @abstractmethod
    def single_file(self) -> dict[str, Tensor]:
        """All weights as one file of its makers has them, with its marks; raises ValueError where it has no names."""

    def lora_file(self, adapters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adapters, by the names that a subject's have, as other programs read them."""
        return adapters

    @abstractmethod
    def metadata(self) -> dict[str, str]:
        """What files for it say of their base model, as other programs read it."""

    @abstractmethod
    def layer_names(self) -> dict[str, tuple[str, ...]]:
        """Paths of modules by all that LoRA files call them, with underscores for dots.

        Where a layer of the file is several here, they are in the order of its rows, of which each has as many.
        """

    @abstractmethod
    def checkpoint_keys(self) -> CheckpointKeys:
        """Where whole checkpoints have the weights; raises ValueError for a network that they have no names for."""

    @abstractmethod
    def check_noise(self, tensors: SafetensorsFiles) -> str:
        """Refuse a file that says that it predicts the other thing: its shapes alone would fit.

        Returns what else there is to say. Raises UnusableFile where it contradicts itself, and ValueError.
        """

    @abstractmethod
    def seems_for(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        """The name of the family that a file seems to be for; empty if that is not known."""

    @abstractmethod
    def other_family(self, metadata: Mapping[str, str]) -> str:
        """The name of another family that a file was made for by its metadata; empty if they do not say so."""
