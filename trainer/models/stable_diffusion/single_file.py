"""A base model in a single file, in the original layout of Stable Diffusion, turned into diffusers' folder once.

Such a file holds weights, and at most says what they predict. Settings and tokenizers come from a folder of the same
name beside it, or from the hub, where a model of the same kind has them.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from storage.errors import SetupError
from storage.objects.transfers import file_hash
from trainer.models import hub
from trainer.models.darkroom_json import NAME_ENTRIES, beside, by_name
from trainer.models.diffusers_layout import (
    INDEX,
    RECIPE_FILE,
    names_in,
    some_of,
    weights_stem,
    without_weights,
)
from trainer.models.file_kinds import kind_of, special_unet
from trainer.models.key_aliases import check_fit, locate_keys, unread_keys
from trainer.models.key_locations import KeyLocation, picked
from trainer.models.load_weights import opened
from trainer.models.safetensors_files import SafetensorsFiles
from trainer.models.stable_diffusion.checks import check_widths
from trainer.models.stable_diffusion.file_metadata import seems_for
from trainer.models.stable_diffusion.layout import PARTS, WANTED, check_kind, needed_files
from trainer.models.stable_diffusion.ldm_keys import UNET_PREFIX, VAE_PREFIX, places
from trainer.models.stable_diffusion.model import StableDiffusion, skeleton
from trainer.models.stable_diffusion.prediction_type import check_schedule, noise_schedule_of, write_schedule

log = logging.getLogger(__name__)

CLASS = f"{UNET_PREFIX}label_emb."  # in SDXL it is the size of the picture
OTHERS = {  # what only other kinds of models have, by beginnings of names
    CLASS: "its UNet takes an embedding besides the prompt, as unCLIP's does",
    "edm_": "its noise schedule is EDM's, that of another kind of model",
}


class SingleFileKind(NamedTuple):
    """A kind of file: what its text encoders are called in it, and a model on the hub with its settings."""

    text_encoders: tuple[str, ...]
    like: str


SDXL = SingleFileKind(
    ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
    "stabilityai/stable-diffusion-xl-base-1.0",
)
SD2 = SingleFileKind(("cond_stage_model.model.",), "stabilityai/stable-diffusion-2-1")
SD1 = SingleFileKind(("cond_stage_model.transformer.",), "stable-diffusion-v1-5/stable-diffusion-v1-5")
PREFIXES = (UNET_PREFIX, VAE_PREFIX, "cond_stage_model.", "conditioner.")  # of what belongs to the networks


def settings_for(path: Path, models: Path) -> Path:
    """A folder with settings and tokenizers for a file; raises SetupError naming what is missing from either."""
    tensors = _opened(path)
    settings = _settings(path, _kind(path, tensors), models)
    _located(path, tensors, settings)
    check_kind(settings, _called(path), _declared_schedule(path, tensors))
    return settings


def converted_folder(path: Path, models: Path) -> tuple[Path, str]:
    """Return the folder in `models` that a file was turned into, and the file's hash; raises SetupError."""
    tensors, sha256 = _opened(path), file_hash(path)
    kind = _kind(path, tensors)
    folder = models / (f"{sha256}-2" if tensors.scaled else sha256)  # scales were ignored once
    schedule = _declared_schedule(path, tensors)
    if not folder.is_dir():
        settings = _settings(path, kind, models)
        log.info("converting %s, which happens once", path)
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models) as scratch:
            whole = Path(scratch) / "model"
            _convert(path, tensors, settings, whole)
            write_schedule(schedule, whole)
            _note_drawing(model_names(path), whole)
            whole.replace(folder)
    write_schedule(schedule, folder)  # it may have been converted before this was asked
    return folder, sha256


def not_read(path: Path, settings: Path) -> list[str]:
    """Names of tensors in a file that belong to no network, and are not known to be harmless; raises SetupError."""
    tensors = _opened(path)
    return unread_keys(_located(path, tensors, settings), tensors.shapes)


def model_names(path: Path) -> list[str]:
    """What a file calls itself, and is called; raises SetupError."""
    metadata = _opened(path).metadata
    return [path.stem, *(metadata[entry] for entry in NAME_ENTRIES if metadata.get(entry))]


def _called(path: Path) -> str:
    return f"The base model {path}"


def _opened(path: Path) -> SafetensorsFiles:
    return opened([("", path)], _called(path))


def _declared_schedule(path: Path, tensors: SafetensorsFiles) -> dict[str, Any]:
    """What a file says of its noise schedule; raises SetupError if it contradicts itself or the settings beside it."""
    try:
        schedule = noise_schedule_of(tensors.shapes, tensors.metadata)
    except ValueError as error:
        raise SetupError(f"{_called(path)} cannot be used: {error}.") from error
    check_schedule(schedule, path.with_suffix(""), _called(path))
    return schedule


def _kind(path: Path, tensors: SafetensorsFiles) -> SingleFileKind:
    """Tell from the names of its weights what a file is; raises SetupError if it is no model, or no whole one."""
    shapes = tensors.shapes

    def has(beginning: str) -> bool:
        return any(name.startswith(beginning) for name in shapes)

    kind = next((kind for kind in (SDXL, SD2, SD1) if has(kind.text_encoders[-1])), None)
    if special := special_unet(shapes) or has("control_model.") * "a ControlNet":
        raise SetupError(f"{_called(path)} does not work: it is {special}. {WANTED}")
    if kind and all(map(has, (UNET_PREFIX, VAE_PREFIX, *kind.text_encoders))):
        for name, why in OTHERS.items():
            if has(name) and not (kind is SDXL and name == CLASS):
                raise SetupError(f"{_called(path)} does not work: {why}.")
        return kind
    description = kind_of(shapes)
    if has(UNET_PREFIX) and description in ("", "a UNet alone"):
        wanted = {"VAE": (VAE_PREFIX,), "text encoder": kind.text_encoders if kind else SD1.text_encoders}
        missing = [part for part, names in wanted.items() if not all(map(has, names))]
        raise SetupError(f"{_called(path)} has no {' and no '.join(missing)} in it.")
    seems = seems_for(shapes.items())
    what = f"; it is {description}{seems and f' for {seems}'}" if description else ""
    if seems and (not description or seems in description):
        what = f"; it seems to be of {seems}"
    raise SetupError(f"{path} is no Stable Diffusion 1.x, 2.x or XL in the original layout{what}.")


def _settings(path: Path, kind: SingleFileKind, models: Path) -> Path:
    folder = path.with_suffix("")
    if (folder / INDEX).is_file():
        return folder
    try:
        pinned = hub.pin(hub.HubName.of(kind.like), models)
        return hub.fetch(pinned, without_weights(needed_files(pinned.sizes_bytes, False, pinned.called)))
    except SetupError as error:
        raise SetupError(
            f"{_called(path)} is a single file, which holds no settings and no tokenizer. Put those of a model "
            f"of its kind, in diffusers' layout, into the folder {folder}; the hub does not give them: {error}"
        ) from error


def _convert(path: Path, tensors: SafetensorsFiles, settings: Path, whole: Path) -> None:
    """Write a folder in diffusers' layout; weights stay in the precision that they have."""
    where, likes = _located(path, tensors, settings), _state(skeleton(settings, torch.float32))
    if left_out := unread_keys(where, tensors.shapes):
        log.warning("%s holds more than a base model; nobody reads of it: %s", path, some_of(left_out))
    for name in names_in(settings):
        if name in (INDEX, RECIPE_FILE) or (name.partition("/")[0] in PARTS and name.endswith((".json", ".txt"))):
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(settings / name, whole / name)
    for part in PARTS:
        ours = {name: place for name, place in where.items() if name.startswith(f"{part}.")}
        weights = {
            name.removeprefix(f"{part}."): picked(tensors.__getitem__, place).reshape(likes[name].shape).contiguous()
            for name, place in ours.items()
        }
        if weights:
            save_file(weights, whole / part / f"{weights_stem(part)}.safetensors", {"format": "pt"})


def _note_drawing(names: Iterable[str], whole: Path) -> None:
    """Write down how a distilled model draws: the folder that it is turned into has another name."""
    distillation, settings = next(filter(None, map(by_name, names)), None), beside(whole)
    if distillation and "drawing" not in settings:
        settings["drawing"] = distillation.drawing.model_dump(exclude_none=True)
        (whole / RECIPE_FILE).write_text(json.dumps(settings))


def _located(path: Path, tensors: SafetensorsFiles, settings: Path) -> dict[str, KeyLocation]:
    """Where a file has each weight that the settings ask for; raises SetupError saying what does not fit."""
    like = skeleton(settings, torch.float32)
    try:
        where = locate_keys(places(like.denoiser, like.vae), tensors.shapes)
    except ValueError as error:
        raise SetupError(f"The settings in {settings} are not those of a single file: {error}.") from error
    check_widths(f"{_called(path)}, with the settings in {settings},", like)
    try:
        check_fit(where, _state(like), tensors.shapes)
    except ValueError as error:
        raise SetupError(f"{_called(path)} does not work with the settings in {settings}: {error}.") from error
    if extra := [name for name in unread_keys(where, tensors.shapes) if name.startswith(PREFIXES)]:
        raise SetupError(
            f"{_called(path)} has weights that the settings in {settings} do not tell of: {some_of(extra)}."
        )
    return where


def _state(model: StableDiffusion) -> dict[str, Tensor]:
    """All weights, by our names."""
    return {f"{part}.{name}": weight for part, own in model.parts.items() for name, weight in own.state_dict().items()}
