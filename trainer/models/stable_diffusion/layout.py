"""What a Stable Diffusion in diffusers' layout is made of, and why a model is none that can be trained. No torch."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from storage.errors import SetupError
from trainer.models import diffusers_layout
from trainer.models.diffusers_layout import SCHEDULE, config_of, lies_in, weights_stem
from trainer.models.file_kinds import CHANNELS

PARTS = ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae", "scheduler")
OF_SDXL = ("tokenizer_2", "text_encoder_2")
EXTRAS = {  # settings of UNets that are told more than a prompt, and what they are in SDXL
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim_type": None,
    "addition_embed_type": "text_time",
}
REFINER_WIDTH = 1280  # of what its UNet reads
LORA_FILES = ("adapter_config.json", "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
WANTED = (
    "Darkroom needs a Stable Diffusion 1.x, 2.x or XL, a FLUX.2 [klein], a Z-Image or a Krea 2, in diffusers' layout."
)


def needed_files(names: Collection[str], half: bool, called: str) -> list[str]:
    """Those of a model's files that are needed: SDXL's parts where there is any of them. Raises SetupError."""
    parts = [part for part in PARTS if part not in OF_SDXL or any(lies_in(name, *OF_SDXL) for name in names)]
    return diffusers_layout.needed_files(parts, names, half, called, _hint(names))


def check_kind(folder: Path, called: str, known_schedule: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Make sure that a model is one of those that can be trained here; raises SetupError saying what is wrong.

    `known_schedule` is what its file says of the noise schedule, and counts before the settings.
    """
    unet, vae, schedule = (config_of(folder, n) for n in ("unet/config.json", "vae/config.json", SCHEDULE))
    if why := _other_unet(unet, folder) or _other_vae(vae, unet) or _other_schedule({**schedule, **known_schedule}):
        raise SetupError(f"{called} does not work: {why}. {WANTED}")


def _other_unet(unet: Mapping[str, Any], folder: Path) -> str:
    """Why a UNet with these settings cannot be trained here; empty if it can."""
    if (channels := unet.get("in_channels", 4)) != (wanted := unet.get("out_channels", 4)):
        kind = CHANNELS.get(channels, "a model for inpainting, upscaling or editing")
        return f"its UNet takes {channels} channels and not {wanted}: it is {kind}"
    if unet.get("time_cond_proj_dim"):
        return (
            "its UNet takes the guidance scale as an input (time_cond_proj_dim): it is a latent consistency model (LCM)"
        )
    if unet.get("addition_embed_type") == "text_time" and unet.get("cross_attention_dim") == REFINER_WIDTH:
        return "it is the refiner of SDXL, which only refines pictures of the base model"
    if extra := [name for name in EXTRAS if unet.get(name) not in (None, EXTRAS[name])]:
        return f"its UNet takes more than a prompt ({' and '.join(extra)}), as unCLIP's does"
    if unet.get("addition_embed_type") == "text_time" and not (folder / OF_SDXL[1]).is_dir():
        return f"it is an SDXL without {' and '.join(OF_SDXL)}"
    return ""


def _other_vae(vae: Mapping[str, Any], unet: Mapping[str, Any]) -> str:
    """Why a VAE with these settings does not go with the UNet; empty if it does."""
    if (channels := vae.get("latent_channels", 4)) != (wanted := unet.get("in_channels", 4)):
        return f"its VAE has {channels} channels and not {wanted}: it is of another kind of model"
    return "its VAE is that of another kind of model (latents_mean)" if vae.get("latents_mean") else ""


def _other_schedule(schedule: Mapping[str, Any]) -> str:
    """Why a model with these settings of its noise schedule cannot be trained here; empty if it can."""
    if "beta_schedule" not in schedule:
        return f"its noise schedule, {schedule.get('_class_name')}, is that of another kind of model"
    if (predicts := schedule.get("prediction_type", "epsilon")) not in ("epsilon", "v_prediction"):
        return f"it predicts {predicts}, and can only be trained for epsilon or v_prediction"
    if predicts == "epsilon" and schedule.get("rescale_betas_zero_snr"):
        return (
            "by its settings it predicts noise (prediction_type epsilon) where there is nothing but noise "
            "(rescale_betas_zero_snr), from which no picture can be told: one of the two is not true of it"
        )
    return ""


def _hint(names: Collection[str]) -> str:
    """What the model may be instead, by its files."""
    if any(name.rpartition("/")[2] in LORA_FILES for name in names):
        return f"It is a LoRA, which `darkroom import` takes beside a base model. {WANTED}"
    if f"{weights_stem('unet')}.safetensors" in names:
        return f"It is one network alone: a ControlNet, a VAE or a UNet. {WANTED}"
    if "tokenizer_2" in {name.partition("/")[0] for name in names} and not any(lies_in(n, "tokenizer") for n in names):
        return f"It seems to be the refiner of SDXL, which only refines pictures of the base model. {WANTED}"
    if single := sorted(name for name in names if "/" not in name and name.endswith(".safetensors")):
        return f"It comes as a single file: download {single[0]}, and set DARKROOM_BASE_MODEL to its path."
    if any(lies_in(name, "transformer") for name in names):
        return f"It is another kind of model, built on a transformer. {WANTED}"
    return WANTED
