"""Families of base models, told apart by the width of what a UNet reads, and what other programs call them."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from storage.contract import family_defaults


class Family(NamedTuple):
    """Models whose weights have the same shapes."""

    name: str
    version: str  # for kohya's scripts, and web UIs after them
    architecture: str  # in Stability AI's ModelSpec

    def metadata(self, velocity: bool) -> dict[str, str]:
        """What files for it say of their base model, by the rules of those who read them.

        kohya's scripts and ModelSpec add to the name of Stable Diffusion 2 what it predicts. AUTOMATIC1111 takes for
        SDXL what has an `ss_base_model_version` that begins with `sdxl_`, else for Stable Diffusion 2 what has an
        `ss_v2` of True, and hides files for other models than its own.
        """
        version, architecture = self.version, self.architecture
        if self is SD2:
            version, architecture = f"{version}{velocity * '_v'}", f"{architecture}{'-768-v' if velocity else '-512'}"
        return {
            "modelspec.architecture": architecture,
            "ss_base_model_version": version,
            "ss_v2": str(self is SD2),
            "ss_v_parameterization": str(velocity),
        }


SD1 = Family(family_defaults.SD1, "sd_v1", "stable-diffusion-v1")
SD2 = Family(family_defaults.SD2, "sd_v2", "stable-diffusion-v2")
SDXL = Family(family_defaults.SDXL, "sdxl_base_v1-0", "stable-diffusion-xl-v1-base")
TOLD = {  # beginnings of what metadata say, by the rules of kohya's scripts and of ModelSpec
    ("sdxl", "stable-diffusion-xl"): SDXL,
    ("sd_v1", "sd1", "stable-diffusion-v1"): SD1,
    ("sd_v2", "sd2", "stable-diffusion-v2"): SD2,
}
TELLING = ("ss_base_model_version", "modelspec.architecture")
BY_WIDTH = {768: SD1, 1024: SD2, 2048: SDXL}

# A projection of cross-attention that takes in what was read, in files of whatever layout.
READS = re.compile(r"attn2[._](processor[._])?to_k(\.weight|.*(down|lora_A).*\.weight)$")
TELLTALE = {  # parts that only other kinds of models have
    re.compile(r"double_blocks|single_transformer_blocks|single_blocks"): "Flux",
    re.compile(r"joint_blocks|joint_transformer_blocks|lora_te3_"): "Stable Diffusion 3",
    re.compile(r"^lora_te2_|^text_encoder_2\.|^conditioner\.embedders\.1\."): SDXL.name,
}


def family_of(folder: Path) -> Family:
    """The family of a base model in diffusers' layout, by its settings; the first where they do not say."""
    if (folder / "text_encoder_2").is_dir():
        return SDXL
    settings = folder / "unet" / "config.json"
    width = json.loads(settings.read_text()).get("cross_attention_dim") if settings.is_file() else None
    return BY_WIDTH.get(width, SD1) if isinstance(width, int) else SD1


def family_told(metadata: Mapping[str, str]) -> Family | None:
    """The family that a file was made for by its metadata, which may be wrong; None if they do not say."""
    said = next((metadata[entry].strip().lower() for entry in TELLING if metadata.get(entry)), "")
    return next((family for beginnings, family in TOLD.items() if said.startswith(beginnings)), None)


def seems_for(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> str:
    """The name of the family that a file seems to be for, from its names and shapes; empty if they do not say."""
    names = []
    for name, shape in shapes:
        names.append(name)
        if READS.search(name) and len(shape) > 1 and shape[1] in BY_WIDTH:
            return BY_WIDTH[shape[1]].name
    for pattern, family in TELLTALE.items():
        if any(pattern.search(name) for name in names):
            return family
    return ""
