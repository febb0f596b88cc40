"""FLUX.2 [klein] of Black Forest Labs, base and distilled. Without torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from storage.contract.jobs import Method
from trainer.models.diffusers_layout import INDEX, config_of
from trainer.models.dit.family import DitFamily, setting
from trainer.models.family import DrawingDefaults, FamilyDefaults, Licence, Twin

if TYPE_CHECKING:
    from trainer.models.dit.model import DitModel

HEADS_OF_4B = 24  # of attention; the model of 9 billion weights has more, and another licence


class Flux2KleinFamily(DitFamily):
    """See `Family`. The models of 4 and 9 billion weights differ in size and licence alone."""

    name = "FLUX.2 [klein]"
    pipeline = "Flux2KleinPipeline"
    file_mark = re.compile(r"(^|\.)double_stream_modulation_img\.lin(ear)?\.weight$")
    layer_marks = re.compile(r"to_qkv_mlp_proj")
    references = 4  # the pipeline has no limit; each photo lengthens every pass by as many tokens as a picture
    # https://github.com/huggingface/diffusers, examples/dreambooth/README_flux2.md
    defaults: ClassVar[Mapping[Method, FamilyDefaults]] = {"lora": FamilyDefaults(1e-4, 0, 500, 4)}

    def licence_of(self, folder: Path) -> Licence:
        """By the size: only the smaller is free."""
        if _is_4b(folder):
            return Licence("Apache 2.0", "https://huggingface.co/black-forest-labs/FLUX.2-klein-base-4B")
        page = "https://huggingface.co/black-forest-labs/FLUX.2-klein-base-9B"
        return Licence("FLUX Non-Commercial License", page, "no commercial use", "flux-non-commercial")

    def twin_of(self, folder: Path) -> Twin:
        """See `Family`."""
        transfer = "trainers recommend it so: learn on the base, draw with either"
        return Twin(f"black-forest-labs/FLUX.2-klein-{'4B' if _is_4b(folder) else '9B'}", transfer)

    def drawing(self, folder: Path, distilled: bool) -> DrawingDefaults:
        """As the makers draw: four steps without guidance, or fifty with it by the base that nobody has distilled."""
        if config_of(folder, INDEX).get("is_distilled"):
            return DrawingDefaults(steps=4, guidance=1, scheduler="euler")
        return DrawingDefaults(steps=50, guidance=4, scheduler="euler")

    def channels(self, folder: Path) -> tuple[int, int]:
        """Those of patches of 2 × 2."""
        return setting(folder, "transformer", "in_channels", 128), 4 * setting(folder, "vae", "latent_channels", 32)

    def kind(self) -> type["DitModel"]:
        """See `DitFamily`."""
        from trainer.models.flux2_klein.model import Flux2Klein

        return Flux2Klein


def _is_4b(folder: Path) -> bool:
    return setting(folder, "transformer", "num_attention_heads", HEADS_OF_4B) <= HEADS_OF_4B


FLUX2_KLEIN = Flux2KleinFamily()
