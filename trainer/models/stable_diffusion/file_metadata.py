"""What files say of the Stable Diffusion that they are for: in their metadata, or by names and shapes of weights."""

import re
from collections.abc import Iterable, Mapping

from trainer.models.stable_diffusion.family import BY_WIDTH, SD1, SD2, SDXL, StableDiffusionFamily

METADATA = {  # beginnings of what metadata say, by the rules of kohya's scripts and of ModelSpec
    ("sdxl", "stable-diffusion-xl"): SDXL,
    ("sd_v1", "sd1", "stable-diffusion-v1"): SD1,
    ("sd_v2", "sd2", "stable-diffusion-v2"): SD2,
}
ENTRIES = ("ss_base_model_version", "modelspec.architecture")

# A projection of cross-attention that takes in what was read, in files of whatever layout.
READS = re.compile(r"attn2[._](processor[._])?to_k(\.weight|.*(down|lora_A).*\.weight)$")
TELLTALE = {  # parts that only other kinds of models have
    re.compile(r"double_blocks|single_transformer_blocks|single_blocks"): "Flux",
    re.compile(r"joint_blocks|joint_transformer_blocks|lora_te3_"): "Stable Diffusion 3",
    re.compile(r"^lora_te2_|^text_encoder_2\.|^conditioner\.embedders\.1\."): SDXL.name,
}


def metadata_for(family: StableDiffusionFamily, velocity: bool) -> dict[str, str]:
    """What files for a family say of their base model, by the rules of those who read them.

    kohya's scripts and ModelSpec add to the name of Stable Diffusion 2 what it predicts. AUTOMATIC1111 takes for
    SDXL what has an `ss_base_model_version` that begins with `sdxl_`, else for Stable Diffusion 2 what has an
    `ss_v2` of True, and hides files for other models than its own.
    """
    version, architecture = family.version, family.architecture
    if family is SD2:
        version, architecture = f"{version}{velocity * '_v'}", f"{architecture}{'-768-v' if velocity else '-512'}"
    return {
        "modelspec.architecture": architecture,
        "ss_base_model_version": version,
        "ss_v2": str(family is SD2),
        "ss_v_parameterization": str(velocity),
    }


def family_of_metadata(metadata: Mapping[str, str]) -> StableDiffusionFamily | None:
    """The family that a file was made for by its metadata, which may be wrong; None if they do not say."""
    value = next((metadata[entry].strip().lower() for entry in ENTRIES if metadata.get(entry)), "")
    return next((family for beginnings, family in METADATA.items() if value.startswith(beginnings)), None)


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
