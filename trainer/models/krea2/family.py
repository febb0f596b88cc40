"""Krea 2, RAW and Turbo. Without torch."""

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

RANK = 32
LICENCE = Licence(
    "Krea 2 Community License",
    "https://github.com/krea-ai/krea-2/blob/main/docs/KREA-2-COMMUNITY-LICENSE",
    "commercial use only below a yearly revenue of US$1,000,000, and a content filter for whatever others may have "
    "drawn, which Darkroom does not bring",
    "krea-2-community",
)


class Krea2Family(DitFamily):
    """See `Family`. Subjects are learned on RAW, and drawn by Turbo."""

    name = "Krea 2"
    pipeline = "Krea2Pipeline"
    file_mark = re.compile(r"(^|\.)(txtfusion|text_fusion)\.projector\.weight$")
    layer_marks = re.compile(r"text_fusion|txtfusion|attn[._](to_gate|w[qkvo])\b")
    # https://github.com/huggingface/diffusers, examples/dreambooth/README_krea2.md
    defaults: ClassVar[Mapping[Method, FamilyDefaults]] = {"lora": FamilyDefaults(3e-4, 0, 1000, rank=RANK)}

    def licence_of(self, folder: Path) -> Licence:
        """See `Family`."""
        return LICENCE

    def twin_of(self, folder: Path) -> Twin:
        """See `Family`."""
        return Twin("krea/Krea-2-Turbo", "its makers made the two for it: learn on RAW, draw with Turbo")

    def drawing(self, folder: Path, distilled: bool) -> DrawingDefaults:
        """As its pipeline draws unless told otherwise; its guidance scale counts from 0, ours from 1."""
        if config_of(folder, INDEX).get("is_distilled", distilled):
            return DrawingDefaults(steps=8, guidance=1, scheduler="euler")
        return DrawingDefaults(steps=28, guidance=5.5, scheduler="euler")

    def channels(self, folder: Path) -> tuple[int, int]:
        """Those of patches of 2 × 2."""
        return setting(folder, "transformer", "in_channels", 64), 4 * setting(folder, "vae", "z_dim", 16)

    def kind(self) -> type["DitModel"]:
        """See `DitFamily`."""
        from trainer.models.krea2.model import Krea2

        return Krea2


KREA2 = Krea2Family()
