"""Where a base model comes from: it ships, lies in a folder, is a single file, or is on the Hugging Face hub."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from storage.base_models import TOYWORLD
from storage.errors import SetupError
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from trainer.models import hub
from trainer.models.diffusers_layout import INDEX, NO_PICKLES, PICKLES, config_of, lies_in, names_in, without_weights
from trainer.models.families import check_pipeline, family_of, recognised, single_files
from trainer.models.family import Family, Index
from trainer.models.local_files import TOYWORLD_FOLDER

ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True)
class ModelSource:
    """A base model on this machine, in diffusers' layout."""

    called: str  # what sentences call it, at their beginning
    folder: Path
    files: tuple[str, ...]  # of the folder, those that it consists of
    revision: str = ""  # of the hub: its commit; of a single file: its hash
    missing_bytes: int = 0  # still to be downloaded


def find(base_model: str, models: Path, half: bool, weights: bool = True, twin: bool = False) -> ModelSource:
    """Find a base model as the settings name it; download or convert it if need be, and note in `models` what was had.

    `half` prefers weights in half precision; those that are on this machine are taken before those that are not.
    Without `weights`, only what tells about them is downloaded. Of a few-step `twin`, the weights of the network that
    predicts are enough: all else is its base model's. Raises SetupError naming what is missing.
    """
    path = TOYWORLD_FOLDER if base_model == TOYWORLD else Path(base_model).expanduser()
    called = f"The base model {base_model}"
    if path.suffix in PICKLES and not path.is_dir():
        raise SetupError(f"{called} is a pickle, {NO_PICKLES.replace('they are', 'it is').replace('them', 'it')}")
    if path.is_file():
        return _from_file(called, path, models, half, weights)
    if not path.is_dir() and ON_THE_HUB.fullmatch(base_model):
        return _from_hub(hub.HubName.of(base_model), models, half, weights, twin)
    if not path.is_dir():
        raise SetupError(
            f"There is no folder or file {path}. DARKROOM_BASE_MODEL is a folder in diffusers' layout, a .safetensors "
            "file, or the name of a model on the hub, org/name or org/name@revision."
        )
    return _checked(ModelSource(called, path, _needed(path, half, called)))


def _from_file(called: str, path: Path, models: Path, half: bool, weights: bool) -> ModelSource:
    if path.suffix == ".gguf":
        raise SetupError(f"{called} is quantised (GGUF), and Darkroom cannot read that: take it as .safetensors.")
    if path.suffix != ".safetensors":
        raise SetupError(f"{called} is a file, but no .safetensors.")
    reader = single_files(path)  # only here is torch needed
    if not weights:
        return _checked(ModelSource(called, reader.settings_for(path, models), ()))
    folder, sha256 = reader.converted_folder(path, models)
    return _checked(ModelSource(called, folder, _needed(folder, half, called), sha256))


def _from_hub(name: hub.HubName, models: Path, half: bool, weights: bool, twin: bool) -> ModelSource:
    pinned = hub.pin(name, models)
    family = _family(pinned.sizes_bytes, lambda: config_of(hub.fetch(pinned, [INDEX]), INDEX), pinned.called)
    files, others = (family.needed_files(pinned.sizes_bytes, each, pinned.called) for each in (half, not half))
    if twin:
        files, others = (_without_other_networks(each, family.networks[0]) for each in (files, others))
    missing_bytes = hub.missing_bytes(pinned, files)
    if missing_bytes and not hub.missing_bytes(pinned, others):
        files, missing_bytes = others, 0
    folder = hub.fetch(pinned, without_weights(files))
    source = _checked(ModelSource(pinned.called, folder, tuple(files), pinned.commit, missing_bytes))
    if not weights:
        return source
    return replace(source, folder=hub.fetch(pinned, files), missing_bytes=0)


def _without_other_networks(files: Collection[str], predicts: str) -> list[str]:
    small = {*without_weights(files)}
    return [name for name in files if name in small or lies_in(name, predicts)]


def _needed(folder: Path, half: bool, called: str) -> tuple[str, ...]:
    """Those of a folder's files that a model consists of."""
    names = names_in(folder)
    return tuple(_family(names, lambda: config_of(folder, INDEX), called).needed_files(names, half, called))


def _family(names: Collection[str], index: Index, called: str) -> Family:
    check_pipeline(names, index, called)
    return recognised(names, index)


def _checked(source: ModelSource) -> ModelSource:
    family = family_of(source.folder)
    family.check(source.folder, source.called)
    licence = family.licence_of(source.folder)
    if licence.accept and licence.accept not in load_settings(TrainerSettings).licences:
        raise SetupError(
            f"{source.called} is under the {licence.name}, {licence.url}. Its conditions: {licence.conditions}. "
            f"If you have read it and meet them, set DARKROOM_ACCEPTED_LICENCES={licence.accept}."
        )
    return source
