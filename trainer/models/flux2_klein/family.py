"""FLUX.2 [klein] of Black Forest Labs, base and distilled. Without torch."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from storage.contract.jobs import Method
from storage.errors import SetupError
from trainer.models import diffusers_layout
from trainer.models.diffusers_layout import INDEX, config_of
from trainer.models.family import DrawingDefaults, FamilyDefaults, Index, Licence

if TYPE_CHECKING:
    import torch

    from trainer.models.base import BaseModel
    from trainer.models.sources import Source

PIPELINE = "Flux2KleinPipeline"
PARTS = ("tokenizer", "text_encoder", "transformer", "vae", "scheduler")
HINT = "Darkroom needs a FLUX.2 [klein] in diffusers' layout."


class Flux2KleinFamily:
    """See `Family`. The models of 4 and 9 billion weights differ in size alone."""

    name = "FLUX.2 [klein]"
    licence = Licence("Apache 2.0 (4B)", "https://huggingface.co/black-forest-labs/FLUX.2-klein-base-4B")
    # https://github.com/huggingface/diffusers, examples/dreambooth/README_flux2.md; the text encoder stays as it is
    defaults: ClassVar[Mapping[Method, FamilyDefaults]] = {"lora": FamilyDefaults(1e-4, 0, 500, 4)}
    method: Method | None = "lora"
    networks = ("transformer", "text_encoder")
    bare_networks: ClassVar[Mapping[str, str]] = {}

    def recognises(self, names: Collection[str], index: Index) -> bool:
        """By the name of its pipeline: others have transformers, too."""
        return "transformer/config.json" in names and INDEX in names and index().get("_class_name") == PIPELINE

    def is_of(self, folder: Path) -> bool:
        """There is but one kind of it."""
        return True

    def drawing(self, folder: Path) -> DrawingDefaults:
        """As the makers draw: four steps without guidance, or fifty with it by the base that nobody has distilled."""
        if config_of(folder, INDEX).get("is_distilled"):
            return DrawingDefaults(steps=4, guidance=1, scheduler="euler")
        return DrawingDefaults(steps=50, guidance=4, scheduler="euler")

    def needed_files(self, names: Collection[str], half: bool, called: str) -> list[str]:
        """See `Family`."""
        return diffusers_layout.needed_files(PARTS, names, half, called, HINT)

    def check(self, folder: Path, called: str) -> None:
        """See `Family`."""
        takes = config_of(folder, "transformer/config.json").get("in_channels", 128)
        makes = 4 * config_of(folder, "vae/config.json").get("latent_channels", 32)  # in patches of 2 × 2
        if takes != makes:
            raise SetupError(f"{called} is mixed of several: its transformer takes {takes} channels, and gets {makes}.")

    def check_weights(self, source: "Source", dtype: "torch.dtype") -> None:
        """See `Family`."""
        from trainer.models.flux2_klein import model

        model.check_weights(source, dtype)

    def skeleton(self, folder: Path, dtype: "torch.dtype") -> "BaseModel":
        """See `Family`."""
        from trainer.models.flux2_klein import model

        return model.skeleton(folder, dtype)

    def load(self, source: "Source", device: "torch.device", dtype: "torch.dtype") -> "BaseModel":
        """See `Family`."""
        from trainer.models.flux2_klein import model

        return model.load(source, device, dtype)


FLUX2_KLEIN = Flux2KleinFamily()
