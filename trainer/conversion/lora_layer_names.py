"""What programs call the layers of a LoRA: one table of all their names for each layer of a base model.

Dots and underscores count alike, since kohya's scripts write one for the other. A layer is called by diffusers' name or
by that of the original layout, behind any of its network's prefixes.
"""

import re
from collections.abc import Iterable, Mapping

from trainer.dreambooth.lora import file_names
from trainer.models.denoiser import Denoiser
from trainer.models.ldm_keys import UNET_PREFIX, KeyLocation

PREFIXES = {
    "unet": (
        "lora_unet",  # kohya's scripts
        "unet",  # diffusers, OneTrainer, ai-toolkit
        "diffusion_model",  # ComfyUI
        "model_diffusion_model",
        "lycoris",  # LyCORIS outside of kohya's scripts
        "lycoris_unet",
        "",  # the UNet's own file
    ),
    "text_encoder": (
        "lora_te",
        "lora_te1",  # SDXL
        "text_encoder",
        "clip_l",  # OneTrainer
        "clip_l_transformer",
        "clip_h",  # that of Stable Diffusion 2
        "clip_h_transformer",
        "text_encoders_clip_l",  # ComfyUI
        "text_encoders_clip_l_transformer",
        "text_encoders_clip_h_transformer",
        "cond_stage_model_transformer",
        "lycoris_text_encoder",
        "",
    ),
    "text_encoder_2": (
        "lora_te2",
        "text_encoder_2",
        "clip_g",
        "clip_g_transformer",
        "text_encoders_clip_g",
        "text_encoders_clip_g_transformer",
        "lycoris_text_encoder_2",
    ),
}
OLD = [  # what diffusers' attention processors were called, on dotted names
    (re.compile(r"(^|\.)(?:(?:base_model\.model|_orig_mod|module)\.)+"), r"\1"),  # wrappers of peft and PyTorch
    (re.compile(r"\.processor\."), "."),
    (re.compile(r"\.to_out$"), ".to_out.0"),
    (re.compile(r"self_attn\.to_(q|k|v|out)$"), r"self_attn.\1_proj"),
]


def flat(layer: str) -> str:
    """A layer's name in a file, in the form that `known_names` has."""
    for old, new in OLD:
        layer = old.sub(new, layer)
    return layer.replace(".", "_")


def known_names(denoiser: Denoiser, where: Mapping[str, KeyLocation]) -> dict[str, str]:
    """The path of each module by all that files call it; `where` says where weights lie in the original layout."""
    known: dict[str, str] = {}
    for path, name in file_names(denoiser).items():
        network, _, rest = path.partition(".")
        for own in _own_names(network, rest, where.get(f"{path}.weight")):
            for prefix in PREFIXES[network]:
                known[f"{prefix}_{own}".lstrip("_").replace(".", "_")] = path
        known[name] = path
    return known


def _own_names(network: str, rest: str, place: KeyLocation | None) -> Iterable[str]:
    """What a layer is called within its network."""
    if network == "unet":
        yield rest
        if place and place.name.startswith(UNET_PREFIX):
            yield place.name.removeprefix(UNET_PREFIX).removesuffix(".weight")
    else:
        bare = rest.removeprefix("text_model.")
        yield bare
        yield f"text_model.{bare}"
