"""What a base model in diffusers' layout is made of: its parts, and which files of each are needed. Without torch.

It goes by names relative to the model's folder, so that a model on the hub is judged before it is downloaded.
Weights come as safetensors alone: a pickle may run code when it is loaded.
"""

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from storage.errors import SetupError
from trainer.recipe import RECIPE_FILE

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
INDEX, SCHEDULE = "model_index.json", "scheduler/scheduler_config.json"
HALF = "fp16"  # the variant in half precision
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
        chosen |= _weights(part, names, half, called)
    return sorted(chosen)


def is_half(part: str, files: Collection[str]) -> bool:
    """Whether the weights of a part are, among the chosen files, in half precision."""
    return any(_lies_in(name, part) and f".{HALF}" in name for name in files)


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
        told = json.loads((folder / name).read_text())
        if isinstance(told, dict):
            return told
        why = "it holds no settings"
    except (OSError, ValueError) as error:
        why = str(error)
    raise SetupError(f"The base model in {folder} has a damaged {name}: {why}.")


def check_kind(folder: Path, called: str) -> None:
    """Make sure that a model is one of those that can be trained here; raises SetupError saying what is wrong."""
    unet, vae, schedule = (config_of(folder, n) for n in ("unet/config.json", "vae/config.json", SCHEDULE))
    if (channels := unet.get("in_channels", 4)) != 4:
        why = f"its UNet takes {channels} channels and not 4: it is made for inpainting, upscaling or editing"
    elif vae.get("latents_mean") or "beta_schedule" not in schedule:
        why = f"its noise schedule, {schedule.get('_class_name')}, is that of another kind of model"
    elif schedule.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction"):
        why = f"it predicts {schedule['prediction_type']}, and can only be trained for epsilon or v_prediction"
    elif extra := [name for name in EXTRAS if unet.get(name) not in (None, EXTRAS[name])]:
        why = f"its UNet takes more than a prompt ({' and '.join(extra)}), as unCLIP's does"
    elif unet.get("addition_embed_type") == "text_time" and not (folder / OF_SDXL[1]).is_dir():
        why = f"it is an SDXL without {' and '.join(OF_SDXL)}"
    else:
        return
    raise SetupError(f"{called} does not work: {why}. {WANTED}")


def some_of(names: Sequence[str]) -> str:
    """The first few of many names, for a sentence."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{', '.join(names[:FEW])}{more}"


def _weights(part: str, names: Collection[str], half: bool, called: str) -> set[str]:
    """The weights of a part: one file, or pieces with their index."""
    for variant in (f".{HALF}", "") if half else ("", f".{HALF}"):
        stem = re.escape(f"{part}/{WEIGHTS[part]}{variant}")
        if whole := {name for name in names if re.fullmatch(rf"{stem}\.safetensors", name)}:
            return whole
        pieces = {name for name in names if re.fullmatch(rf"{stem}-\d{{5}}-of-\d{{5}}\.safetensors", name)}
        if pieces:
            of = int(max(pieces).removesuffix(".safetensors")[-5:])
            if len(pieces) < of:
                raise SetupError(f"{called} lacks {of - len(pieces)} of the {of} pieces of its {part}.")
            return pieces | {n for n in names if _is_index(n) and _lies_in(n, part) and (HALF in n) == bool(variant)}
    if pickles := sorted(name for name in names if _lies_in(name, part) and name.endswith(PICKLES)):
        raise SetupError(f"{called} has its {part} only as pickles ({pickles[0]}), {NO_PICKLES}")
    raise SetupError(f"{called} lacks the weights of its {part}: {part}/{WEIGHTS[part]}.safetensors.")


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
    if single := sorted(name for name in names if "/" not in name and name.endswith(".safetensors")):
        return f"It comes as a single file: download {single[0]}, and set DARKROOM_BASE_MODEL to its path."
    if any(_lies_in(name, "transformer") for name in names):
        return f"It is another kind of model, built on a transformer. {WANTED}"
    return WANTED
