"""The three families of Stable Diffusion, told apart by the width of what a UNet reads. Without torch."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from storage.contract.jobs import Method
from trainer.models.diffusers_layout import config_of, lies_in
from trainer.models.family import DrawingDefaults, FamilyDefaults, Index, Licence, SingleFiles, Twin
from trainer.models.stable_diffusion import layout

if TYPE_CHECKING:
    import torch

    from trainer.models.base import BaseModel
    from trainer.models.placement import Placement
    from trainer.models.sources import ModelSource

HUB = "https://huggingface.co"
# https://github.com/huggingface/diffusers, examples/dreambooth/README.md: with `--train_text_encoder`, and with LoRA,
# where the rate of text encoders is that of https://github.com/kohya-ss/sd-scripts, docs/train_network. For Stable
# Diffusion 2 it says to change nothing but the number of pixels.
SD_DEFAULTS: Mapping[Method, FamilyDefaults] = {
    "full": FamilyDefaults(2e-6, 2e-6, 800),
    "lora": FamilyDefaults(1e-4, 5e-5, 500),
}
# diffusers, examples: LoRA as in dreambooth/README_sdxl.md. It has no DreamBooth of SDXL in full: rate and accumulation
# are those of text_to_image/README_sdxl.md, the steps those of DreamBooth. Both leave the two text encoders as they
# are, which sd-scripts, docs/train_SDXL, highly recommends for LoRA.
SDXL_DEFAULTS: Mapping[Method, FamilyDefaults] = {
    "full": FamilyDefaults(1e-6, 0, 800, 4),
    "lora": FamilyDefaults(1e-4, 0, 500, 4),
}


@dataclass(frozen=True)
class StableDiffusionFamily:
    """Models whose weights have the same shapes."""

    name: str
    version: str  # for kohya's scripts, and web UIs after them
    architecture: str  # in Stability AI's ModelSpec
    licence: Licence
    defaults: Mapping[Method, FamilyDefaults]
    method: Method | None = None
    unfit: ClassVar[Mapping[str, str]] = {}
    file_mark: ClassVar[re.Pattern[str] | None] = None
    layer_marks: ClassVar[re.Pattern[str] | None] = None
    references: ClassVar[int] = 0
    networks: ClassVar[tuple[str, ...]] = ("unet", "text_encoder", "text_encoder_2")
    bare_networks: ClassVar[Mapping[str, str]] = {
        "conv_in.weight": "unet.",
        "input_blocks.0.0.weight": "model.diffusion_model.",
        "diffusion_model.input_blocks.0.0.weight": "model.",
    }

    def recognises(self, names: Collection[str], index: Index) -> bool:
        """By its UNet, which no other family has."""
        return any(lies_in(name, "unet") for name in names)

    def is_of(self, folder: Path) -> bool:
        """By its second text encoder, or by how wide it reads."""
        return variant_of(folder) is self

    def licence_of(self, folder: Path) -> Licence:
        """See `Family`."""
        return self.licence

    def twin_of(self, folder: Path) -> Twin | None:
        """None of the same makers."""
        return None

    def drawing(self, folder: Path, distilled: bool) -> DrawingDefaults | None:
        """See `Family`."""
        return None

    def needed_files(self, names: Collection[str], half: bool, called: str) -> list[str]:
        """See `Family`."""
        return layout.needed_files(names, half, called)

    def single_files(self) -> SingleFiles:
        """See `Family`."""
        from trainer.models.stable_diffusion import single_file

        return single_file

    def check(self, folder: Path, called: str) -> None:
        """See `Family`."""
        layout.check_kind(folder, called)

    def check_weights(self, source: "ModelSource", dtype: "torch.dtype") -> None:
        """See `Family`."""
        from trainer.models.stable_diffusion.checks import check_weights
        from trainer.models.stable_diffusion.model import skeleton

        check_weights(source, skeleton(source.folder, dtype))

    def skeleton(self, folder: Path, dtype: "torch.dtype") -> "BaseModel":
        """See `Family`."""
        from trainer.models.stable_diffusion import model

        return model.skeleton(folder, dtype)

    def load(self, source: "ModelSource", placement: "Placement") -> "BaseModel":
        """See `Family`."""
        from trainer.models.stable_diffusion import model

        return model.load(source, placement)


SD1 = StableDiffusionFamily(
    "Stable Diffusion 1.x",
    "sd_v1",
    "stable-diffusion-v1",
    Licence("CreativeML OpenRAIL-M", f"{HUB}/spaces/CompVis/stable-diffusion-license"),
    SD_DEFAULTS,
)
SD2 = StableDiffusionFamily(
    "Stable Diffusion 2.x",
    "sd_v2",
    "stable-diffusion-v2",
    Licence("CreativeML Open RAIL++-M", f"{HUB}/stabilityai/stable-diffusion-2/blob/main/LICENSE-MODEL"),
    SD_DEFAULTS,
)
SDXL = StableDiffusionFamily(
    "Stable Diffusion XL",
    "sdxl_base_v1-0",
    "stable-diffusion-xl-v1-base",
    Licence("CreativeML Open RAIL++-M", f"{HUB}/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md"),
    SDXL_DEFAULTS,
    method="lora",  # full training takes more than most machines have
)
BY_WIDTH = {768: SD1, 1024: SD2, 2048: SDXL}


def variant_of(folder: Path) -> StableDiffusionFamily:
    """Which of the three a base model in diffusers' layout is, by its settings; the first where they do not say."""
    if (folder / "text_encoder_2").is_dir():
        return SDXL
    settings = "unet/config.json"
    width = config_of(folder, settings).get("cross_attention_dim") if (folder / settings).is_file() else None
    return BY_WIDTH.get(width, SD1) if isinstance(width, int) else SD1
