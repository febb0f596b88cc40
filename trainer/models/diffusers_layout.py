"""What a base model in diffusers' layout is made of: its parts, and which files of each are needed. Without torch.

It goes by names relative to the model's folder, so that a model on the hub is judged before it is downloaded.
Weights come as safetensors alone: a pickle may run code when it is loaded.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from storage.errors import SetupError
from trainer.models.darkroom_json import RECIPE_FILE
from trainer.models.file_kinds import CHANNELS

TOKENIZERS = ("tokenizer", "tokenizer_2")
WEIGHTS = {  # the parts with weights, and what diffusers and transformers call their files
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
PARTS = (*TOKENIZERS, *WEIGHTS, "scheduler")
OF_SDXL = ("tokenizer_2", "text_encoder_2")
EXTRAS = {  # settings of UNets that are told more than a prompt, and what they are in SDXL
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim_type": None,
    "addition_embed_type": "text_time",
}
REFINER_WIDTH = 1280  # of what its UNet reads
LORA_FILES = ("adapter_config.json", "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
INDEX, SCHEDULE = "model_index.json", "scheduler/scheduler_config.json"
VARIANTS = ("fp16", "bf16", "fp32")  # precisions that names of files tell
PICKLES = (".ckpt", ".bin", ".pt", ".pth")
NO_PICKLES = "which may run code when they are loaded. docs/models.md says how to convert them to safetensors."
FEW = 3
WANTED = "Darkroom needs a Stable Diffusion 1.x, 2.x or XL in diffusers' layout."


def needed_files(names: Collection[str], half: bool, called: str) -> list[str]:
    """Choose from all names of a model's files those that are needed, with weights in half precision if `half` is said.

    Where there is only the other precision, that is chosen. Raises SetupError naming what is missing from the model,
    which is `called` so.
    """
    parts = [part for part in PARTS if part not in OF_SDXL or any(_lies_in(name, *OF_SDXL) for name in names)]
    missing = [part for part in parts if not any(_lies_in(name, part) for name in names)]
    if missing:
        raise SetupError(f"{called} has no {', '.join(missing)}. {_hint(names)}")
    configs = {f"{part}/config.json" for part in parts if part in WEIGHTS} | {SCHEDULE}
    lacking = sorted(configs - {*names}) + [p for p in parts if p in TOKENIZERS and not _has_words(p, names)]
    if lacking:
        raise SetupError(f"{called} lacks {', '.join(lacking)}.")
    chosen = {name for name in names if name in (INDEX, RECIPE_FILE) or _is_config(name, parts)}
    for part in WEIGHTS.keys() & {*parts}:
        chosen |= weights_of(part, names, half, called)
    return sorted(chosen)


def without_weights(files: Collection[str]) -> list[str]:
    """Those of the chosen files that are small: settings and vocabularies."""
    return [name for name in files if not name.endswith(".safetensors")]


def names_in(folder: Path) -> list[str]:
    """Names of the files in a model's folder."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """Read a file of settings; raises SetupError if it is damaged."""
    try:
        config = json.loads((folder / name).read_text())
        if isinstance(config, dict):
            return config
        why = "it holds no settings"
    except (OSError, ValueError) as error:
        why = str(error)
    raise SetupError(f"The base model in {folder} has a damaged {name}: {why}.")


def check_kind(folder: Path, called: str, known_schedule: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Make sure that a model is one of those that can be trained here; raises SetupError saying what is wrong.

    `told` is what its file says of the noise schedule, and counts before the settings.
    """
    unet, vae, schedule = (config_of(folder, n) for n in ("unet/config.json", "vae/config.json", SCHEDULE))
    if why := _other_unet(unet, folder) or _other_schedule({**schedule, **known_schedule}, vae):
        raise SetupError(f"{called} does not work: {why}. {WANTED}")


def _other_unet(unet: Mapping[str, Any], folder: Path) -> str:
    """Why a UNet with these settings cannot be trained here; empty if it can."""
    if (channels := unet.get("in_channels", 4)) != 4:
        kind = CHANNELS.get(channels, "a model for inpainting, upscaling or editing")
        return f"its UNet takes {channels} channels and not 4: it is {kind}"
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


def _other_schedule(schedule: Mapping[str, Any], vae: Mapping[str, Any]) -> str:
    """Why a model with these settings of its noise schedule and VAE cannot be trained here; empty if it can."""
    if (channels := vae.get("latent_channels", 4)) != 4:
        return f"its VAE has {channels} channels and not 4: it is of another kind of model"
    if vae.get("latents_mean") or "beta_schedule" not in schedule:
        return f"its noise schedule, {schedule.get('_class_name')}, is that of another kind of model"
    if (predicts := schedule.get("prediction_type", "epsilon")) not in ("epsilon", "v_prediction"):
        return f"it predicts {predicts}, and can only be trained for epsilon or v_prediction"
    if predicts == "epsilon" and schedule.get("rescale_betas_zero_snr"):
        return (
            "by its settings it predicts noise (prediction_type epsilon) where there is nothing but noise "
            "(rescale_betas_zero_snr), from which no picture can be told: one of the two is not true of it"
        )
    return ""


def some_of(names: Sequence[str]) -> str:
    """The first few of many names, for a sentence."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{', '.join(names[:FEW])}{more}"


def weights_of(part: str, names: Collection[str], half: bool, called: str) -> set[str]:
    """The files of a part's weights: one, or pieces with their index, in the best precision that is there whole.

    Raises SetupError naming what is missing from the model, which is `called` so.
    """
    lacking = ""
    for variant in ("fp16", "bf16", "", "fp32") if half else ("", "fp32", "bf16", "fp16"):
        if (whole := f"{part}/{WEIGHTS[part]}{variant and '.'}{variant}.safetensors") in names:
            return {whole}
        for of, pieces in _pieces(part, names, variant).items():
            if len(pieces) == of:
                return pieces | {n for n in names if _is_index(n) and _lies_in(n, part) and _variant_of(n) == variant}
            lacking = lacking or f"{called} lacks {of - len(pieces)} of the {of} pieces of its {part}."
    if lacking:
        raise SetupError(lacking)
    if pickles := sorted(name for name in names if _lies_in(name, part) and name.endswith(PICKLES)):
        raise SetupError(f"{called} has its {part} only as pickles ({pickles[0]}), {NO_PICKLES}")
    raise SetupError(f"{called} lacks the weights of its {part}: {part}/{WEIGHTS[part]}.safetensors.")


def _pieces(part: str, names: Collection[str], variant: str) -> dict[int, set[str]]:
    """The pieces of a part's weights, by how many there are to be; the variant stands before or after their numbers."""
    stem, dot = re.escape(f"{part}/{WEIGHTS[part]}"), re.escape(f".{variant}") if variant else ""
    spelt = [rf"{stem}{dot}-\d+-of-(\d+)\.safetensors", rf"{stem}-\d+-of-(\d+){dot}\.safetensors"]
    pieces: dict[int, set[str]] = {}
    for name in names:
        if match := next(filter(None, (re.fullmatch(each, name) for each in spelt)), None):
            pieces.setdefault(int(match[1]), set()).add(name)
    return pieces


def _variant_of(index: str) -> str:
    """The variant in the name of an index, wherever it stands there; empty if there is none."""
    return next((variant for variant in VARIANTS if f".{variant}." in index), "")


def _lies_in(name: str, *parts: str) -> bool:
    return name.partition("/")[0] in parts and "/" in name


def _is_config(name: str, parts: Collection[str]) -> bool:
    return _lies_in(name, *parts) and name.endswith((".json", ".txt")) and not _is_index(name)


def _is_index(name: str) -> bool:
    return ".index" in name


def _has_words(part: str, names: Collection[str]) -> bool:
    return {f"{part}/vocab.json", f"{part}/merges.txt"} <= {*names} or f"{part}/tokenizer.json" in names


def _hint(names: Collection[str]) -> str:
    """What the model may be instead, by its files."""
    if any(name.rpartition("/")[2] in LORA_FILES for name in names):
        return f"It is a LoRA, which `darkroom import` takes beside a base model. {WANTED}"
    if f"{WEIGHTS['unet']}.safetensors" in names:
        return f"It is one network alone: a ControlNet, a VAE or a UNet. {WANTED}"
    if "tokenizer_2" in {name.partition("/")[0] for name in names} and not any(_lies_in(n, "tokenizer") for n in names):
        return f"It seems to be the refiner of SDXL, which only refines pictures of the base model. {WANTED}"
    if single := sorted(name for name in names if "/" not in name and name.endswith(".safetensors")):
        return f"It comes as a single file: download {single[0]}, and set DARKROOM_BASE_MODEL to its path."
    if any(_lies_in(name, "transformer") for name in names):
        return f"It is another kind of model, built on a transformer. {WANTED}"
    return WANTED
