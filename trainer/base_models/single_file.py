"""A base model in a single file, in the original layout of Stable Diffusion, turned into diffusers' folder once.

Such a file holds weights, and at most says what they predict. Settings and tokenizers come from a folder of the same
name beside it, or from the hub, where a model of the same kind has them.
"""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from storage.errors import SetupError
from storage.transfers import file_hash
from trainer.base_models import hub
from trainer.base_models.families import seems_for
from trainer.base_models.headers import Shape, metadata_in, schedule_said, shapes_in
from trainer.base_models.layout import INDEX, SCHEDULE, config_of, needed_files, some_of, without_weights
from trainer.base_models.ldm_names import UNET_PREFIX, VAE_PREFIX, places
from trainer.base_models.skeleton import Skeleton
from trainer.recipe import RECIPE_FILE

log = logging.getLogger(__name__)

PRECISIONS = {"F16": torch.float16, "BF16": torch.bfloat16}


CLASS = f"{UNET_PREFIX}label_emb."  # in SDXL it is the size of the picture
OTHERS = {  # what only other kinds of models have, by beginnings of names
    CLASS: "its UNet takes an embedding besides the prompt, as unCLIP's does",
    "edm_": "its noise schedule is EDM's, that of another kind of model",
}


class Kind(NamedTuple):
    """A kind of file: who reads it, what its text encoders are called in it, a model on the hub with its settings."""

    pipeline: Any
    text_encoders: tuple[str, ...]
    like: str


SDXL = Kind(
    StableDiffusionXLPipeline,
    ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
    "stabilityai/stable-diffusion-xl-base-1.0",
)
SD2 = Kind(StableDiffusionPipeline, ("cond_stage_model.model.",), "stabilityai/stable-diffusion-2-1")
SD1 = Kind(StableDiffusionPipeline, ("cond_stage_model.transformer.",), "stable-diffusion-v1-5/stable-diffusion-v1-5")


def settings_for(path: Path, models: Path) -> Path:
    """A folder with settings and tokenizers for a file; raises SetupError naming what is missing from either."""
    settings = _settings(path, _kind(path), models)
    _check_whole(path, shapes_in(path), settings)
    _check_schedule(path)
    return settings


def converted(path: Path, models: Path) -> tuple[Path, str]:
    """Return the folder in `models` that a file was turned into, and the file's hash; raises SetupError."""
    kind, sha256 = _kind(path), file_hash(path)
    folder = models / sha256
    said = _check_schedule(path)
    if not folder.is_dir():
        settings = _settings(path, kind, models)
        log.info("converting %s, which happens once", path)
        models.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models) as scratch:
            whole = Path(scratch) / "model"
            _convert(path, kind, settings, whole)
            _schedule_as(said, whole)
            whole.replace(folder)
    _schedule_as(said, folder)  # it may have been converted before this was asked
    return folder, sha256


def _kind(path: Path) -> Kind:
    """Tell from the names of its weights what a file is; raises SetupError if it is no model, or no whole one."""
    shapes = shapes_in(path)

    def has(beginning: str) -> bool:
        return any(name.startswith(beginning) for name in shapes)

    kind = next((kind for kind in (SDXL, SD2, SD1) if has(kind.text_encoders[-1])), None)
    if kind and all(map(has, (UNET_PREFIX, VAE_PREFIX, *kind.text_encoders))):
        for name, why in OTHERS.items():
            if has(name) and not (kind is SDXL and name == CLASS):
                raise SetupError(f"The base model {path} does not work: {why}.")
        return kind
    if has(UNET_PREFIX):
        wanted = {"VAE": (VAE_PREFIX,), "text encoder": kind.text_encoders if kind else SD1.text_encoders}
        missing = [part for part, names in wanted.items() if not all(map(has, names))]
        raise SetupError(f"The base model {path} has no {' and no '.join(missing)} in it.")
    seems = seems_for((name, shape.sizes) for name, shape in shapes.items())
    raise SetupError(
        f"{path} is no Stable Diffusion 1.x, 2.x or XL in the original layout"
        f"{f'; it seems to be of {seems}' if seems else ''}."
    )


def _settings(path: Path, kind: Kind, models: Path) -> Path:
    beside = path.with_suffix("")
    if (beside / INDEX).is_file():
        return beside
    try:
        pinned = hub.pin(hub.Name.of(kind.like), models)
        return hub.fetch(pinned, without_weights(needed_files(pinned.sizes_bytes, False, pinned.called)))
    except SetupError as error:
        raise SetupError(
            f"The base model {path} is a single file, which holds no settings and no tokenizer. Put those of a model "
            f"of its kind, in diffusers' layout, into the folder {beside}; the hub does not give them: {error}"
        ) from error


def _convert(path: Path, kind: Kind, settings: Path, whole: Path) -> None:
    shapes = shapes_in(path)
    _check_whole(path, shapes, settings)
    written = next(shape.kind for name, shape in shapes.items() if name.startswith(UNET_PREFIX))
    how = {"config": str(settings), "local_files_only": True, "torch_dtype": PRECISIONS.get(written, torch.float32)}
    try:
        pipeline = kind.pipeline.from_single_file(str(path), **how)
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise SetupError(f"The base model {path} does not fit the settings in {settings}: {error}") from error
    pipeline.save_pretrained(whole)
    if (settings / RECIPE_FILE).is_file():
        shutil.copy(settings / RECIPE_FILE, whole)


def _check_schedule(path: Path) -> dict[str, Any]:
    """What a file says of its noise schedule; raises SetupError if the settings beside it say something else."""
    said, beside = schedule_said(shapes_in(path), metadata_in(path)), path.with_suffix("")
    told = config_of(beside, SCHEDULE) if (beside / SCHEDULE).is_file() else {}
    for name, value in said.items():
        if told.get(name, value) != value:
            raise SetupError(
                f"The base model {path} is marked as one of {name} {json.dumps(value)}, and {beside / SCHEDULE} says "
                f"{json.dumps(told[name])}. Write there what is true of it: with the other it would learn noise."
            )
    return said


def _schedule_as(said: dict[str, Any], folder: Path) -> None:
    """Have the settings in a folder say of the noise schedule what the file says."""
    told = config_of(folder, SCHEDULE)
    if all(told.get(name) == value for name, value in said.items()):
        return
    spacing = {"timestep_spacing": "trailing"} if "rescale_betas_zero_snr" in said else {}  # from the very last step
    part = folder / f"{SCHEDULE}.part"
    part.write_text(json.dumps({**told, **said, **spacing}, indent=2))
    part.replace(folder / SCHEDULE)


def _check_whole(path: Path, shapes: dict[str, Shape], settings: Path) -> None:
    """Raise SetupError if weights are missing that the settings ask for: diffusers would not say which."""
    skeleton = Skeleton.of(settings, torch.float32)
    try:
        wanted = places(skeleton.denoiser, skeleton.vae)
    except ValueError as error:
        raise SetupError(f"The settings in {settings} are not those of a single file: {error}.") from error
    if missing := [name for name, place in wanted.items() if place.name not in shapes]:
        raise SetupError(f"The base model {path}, with the settings in {settings}, lacks weights: {some_of(missing)}.")
