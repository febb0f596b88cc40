"""What families of diffusion transformers have in common before they are loaded. Without torch."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from storage.contract.jobs import Method
from storage.errors import SetupError
from trainer.models import diffusers_layout
from trainer.models.diffusers_layout import INDEX, config_of
from trainer.models.family import DrawingDefaults, FamilyDefaults, Index, Licence, SingleFiles, Twin

if TYPE_CHECKING:
    import torch

    from trainer.models.base import BaseModel
    from trainer.models.dit.model import DitModel
    from trainer.models.placement import Placement
    from trainer.models.sources import ModelSource

PARTS = ("tokenizer", "text_encoder", "transformer", "vae", "scheduler")


class DitFamily(ABC):
    """See `Family`. Subjects are learned by LoRA on the transformer; the text encoder stays as it is."""

    name: ClassVar[str]
    pipeline: ClassVar[str]  # of diffusers, by whose name in the index a model is known
    defaults: ClassVar[Mapping[Method, FamilyDefaults]]
    unfit: ClassVar[Mapping[str, str]] = {
        "text_learning_rate": "the text encoder of {family} cannot be trained",
        "snr_gamma": "Min-SNR weighting is not defined for {family}, which is trained by flow matching",
        "noise_offset": "noise offset has no use in {family}, which is trained down to nothing but noise",
    }
    file_mark: ClassVar[re.Pattern[str] | None]
    layer_marks: ClassVar[re.Pattern[str] | None] = None
    method: Method | None = "lora"
    networks = ("transformer", "text_encoder")
    bare_networks: ClassVar[Mapping[str, str]] = {}
    references: ClassVar[int] = 0

    @abstractmethod
    def licence_of(self, folder: Path) -> Licence:
        """See `Family`."""

    @abstractmethod
    def twin_of(self, folder: Path) -> Twin | None:
        """See `Family`."""

    @abstractmethod
    def drawing(self, folder: Path, distilled: bool) -> DrawingDefaults:
        """See `Family`."""

    @abstractmethod
    def channels(self, folder: Path) -> tuple[int, int]:
        """How many channels the transformer takes, and how many it gets of the autoencoder, by the settings."""

    @abstractmethod
    def kind(self) -> type["DitModel"]:
        """What is loaded. Imports torch."""

    def recognises(self, names: Collection[str], index: Index) -> bool:
        """By the name of its pipeline: others have transformers, too."""
        return "transformer/config.json" in names and INDEX in names and index().get("_class_name") == self.pipeline

    def is_of(self, folder: Path) -> bool:
        """There is but one kind of it."""
        return True

    def needed_files(self, names: Collection[str], half: bool, called: str) -> list[str]:
        """See `Family`."""
        hint = f"Darkroom needs a {self.name} in diffusers' layout."
        return diffusers_layout.needed_files(PARTS, names, half, called, hint)

    def single_files(self) -> SingleFiles:
        """See `Family`."""
        from trainer.models.dit.single_file import DitSingleFiles

        return DitSingleFiles(self)

    def check(self, folder: Path, called: str) -> None:
        """See `Family`."""
        takes, gets = self.channels(folder)
        if takes != gets:
            raise SetupError(f"{called} is mixed of several: its transformer takes {takes} channels, and gets {gets}.")

    def check_weights(self, source: "ModelSource", dtype: "torch.dtype") -> None:
        """See `Family`."""
        self.kind().check_weights(source, dtype)

    def skeleton(self, folder: Path, dtype: "torch.dtype") -> "BaseModel":
        """See `Family`."""
        return self.kind().skeleton(folder, dtype)

    def load(self, source: "ModelSource", placement: "Placement") -> "BaseModel":
        """See `Family`."""
        return self.kind().load(source, placement)


def setting(folder: Path, part: str, name: str, usual: int) -> int:
    """A number in the settings of a part; `usual` where they do not say."""
    return int(config_of(folder, f"{part}/config.json").get(name, usual))
