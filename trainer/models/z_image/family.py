"""Z-Image of Alibaba's Tongyi lab, base and Turbo. Without torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from storage.contract.jobs import Method
from trainer.models.dit.family import DitFamily, setting
from trainer.models.family import DrawingDefaults, FamilyDefaults, Licence, Twin

if TYPE_CHECKING:
    from trainer.models.dit.model import DitModel


class ZImageFamily(DitFamily):
    """See `Family`. Base and Turbo have the same settings, and differ by their names alone."""

    name = "Z-Image"
    pipeline = "ZImagePipeline"
    file_mark = re.compile(r"(^|\.)x_pad_token$")
    layer_marks = re.compile(r"layers[._]\d+[._]attention[._](to_[qkv]|qkv)")
    # https://github.com/huggingface/diffusers, examples/dreambooth/README_z_image.md
    defaults: ClassVar[Mapping[Method, FamilyDefaults]] = {"lora": FamilyDefaults(1e-4, 0, 500, 4)}

    def licence_of(self, folder: Path) -> Licence:
        """See `Family`."""
        return Licence("Apache 2.0", "https://huggingface.co/Tongyi-MAI/Z-Image")

    def twin_of(self, folder: Path) -> Twin:
        """Reports differ: https://github.com/kohya-ss/musubi-tuner, issue 908; modelscope/DiffSynth-Studio, 1285."""
        return Twin("Tongyi-MAI/Z-Image-Turbo", "by reports LoRA of the base shows weakly on it, so compare the two")

    def drawing(self, folder: Path, distilled: bool) -> DrawingDefaults:
        """As on the makers' pages, whose guidance scale counts from 0: their 4 is 5 here."""
        if distilled:
            return DrawingDefaults(steps=8, guidance=1, scheduler="euler")
        return DrawingDefaults(steps=50, guidance=5, scheduler="euler")

    def channels(self, folder: Path) -> tuple[int, int]:
        """See `DitFamily`."""
        return setting(folder, "transformer", "in_channels", 16), setting(folder, "vae", "latent_channels", 16)

    def kind(self) -> type["DitModel"]:
        """See `DitFamily`."""
        from trainer.models.z_image.model import ZImage

        return ZImage


Z_IMAGE = ZImageFamily()
