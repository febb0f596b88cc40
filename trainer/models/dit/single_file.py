"""A diffusion transformer in a single file, as ComfyUI's users have it: a folder in diffusers' layout has the rest.

For `/models/mine.safetensors` that is the folder `/models/mine`. The transformer is written once with diffusers' names,
by diffusers' own conversion; the other parts stay where they are.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from safetensors.torch import save_file
from torch import Tensor

from storage.errors import SetupError
from storage.objects.transfers import file_hash
from trainer.models.darkroom_json import beside, by_name
from trainer.models.diffusers_layout import INDEX, RECIPE_FILE, config_of, names_in, some_of, weights_stem
from trainer.models.dit.family import PARTS, DitFamily
from trainer.models.load_weights import opened
from trainer.models.safetensors_files import SafetensorsFiles

log = logging.getLogger(__name__)

PREFIXES = ("",)  # nothing else is in such a file
BEFORE = ("model.diffusion_model.", "diffusion_model.")  # names, in files of ComfyUI
PART, CONFIG = "transformer", "transformer/config.json"
WEIGHTS = f"{PART}/{weights_stem(PART)}.safetensors"


class DitSingleFiles:
    """See `SingleFiles`; of one family."""

    PREFIXES = PREFIXES

    def __init__(self, family: DitFamily) -> None:
        self.family = family

    def settings_for(self, path: Path, models: Path) -> Path:
        """See `SingleFiles`: the folder beside the file."""
        folder, called = path.with_suffix(""), _called(path)
        if not (folder / INDEX).is_file():
            raise SetupError(
                f"{called} is the transformer of a {self.family.name} alone. Put the rest of such a model, in "
                f"diffusers' layout and without the weights of its transformer, into the folder {folder}."
            )
        names = names_in(folder)
        if not self.family.recognises(names, lambda: config_of(folder, INDEX)):
            raise SetupError(f"{called} is the transformer of a {self.family.name}, and {folder} is another model.")
        self.family.needed_files([*names, WEIGHTS], False, f"{called}, with the folder {folder},")
        tensors = _opened(path)
        self._fitting(path, {name: torch.empty(shape, device="meta") for name, shape in tensors.shapes.items()})
        return folder

    def converted_folder(self, path: Path, models: Path) -> tuple[Path, str]:
        """See `SingleFiles`."""
        settings, sha256 = self.settings_for(path, models), file_hash(path)
        folder = models / sha256
        if not folder.is_dir():
            log.info("converting %s, which happens once", path)
            models.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=models) as scratch:
                whole = Path(scratch) / "model"
                self._convert(path, settings, whole)
                whole.replace(folder)
        return folder, sha256

    def not_read(self, path: Path, settings: Path) -> list[str]:
        """None: what does not fit is refused."""
        return []

    def model_names(self, path: Path) -> list[str]:
        """See `SingleFiles`."""
        return [path.stem]

    def _convert(self, path: Path, settings: Path, whole: Path) -> None:
        (whole / PART).mkdir(parents=True)
        for name in (INDEX, CONFIG, RECIPE_FILE):
            if (settings / name).is_file():
                shutil.copyfile(settings / name, whole / name)
        for part in (part for part in PARTS if part != PART):
            (whole / part).symlink_to((settings / part).resolve(), target_is_directory=True)
        tensors = _opened(path)
        dtype = torch.bfloat16 if tensors.scaled else None  # what has scales is read as float32: larger than need be
        weights = self._fitting(path, {name: tensors[name].to(dtype=dtype) for name in tensors.shapes})
        save_file({name: weight.contiguous() for name, weight in weights.items()}, whole / WEIGHTS, {"format": "pt"})
        if by_name(path.stem) and "drawing" not in (known := beside(whole)):  # the folder has another name
            known["drawing"] = self.family.drawing(settings, distilled=True).model_dump(exclude_none=True)
            (whole / RECIPE_FILE).write_text(json.dumps(known))

    def _fitting(self, path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by diffusers' names; raises SetupError if they are not all that the settings ask for."""
        folder = path.with_suffix("")
        wanted = self.family.skeleton(folder, torch.float32).denoiser.backbone.state_dict()
        bare = {_bare(name): weight for name, weight in tensors.items()}
        convert = _conversion(str(config_of(folder, CONFIG).get("_class_name")))
        weights = bare if wanted.keys() <= bare.keys() else convert(checkpoint=bare)
        odd = sorted(name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape)
        if odd or (extra := sorted(weights.keys() - wanted.keys())):
            lacks = f"lacks weights, or has them in another shape: {some_of(odd)}"
            what = lacks if odd else f"has more: {some_of(extra)}"
            raise SetupError(f"{_called(path)} does not fit the settings in {folder}: it {what}.")
        return weights


def _conversion(kind: str) -> Callable[..., dict[str, Tensor]]:
    convert: Callable[..., dict[str, Tensor]] = SINGLE_FILE_LOADABLE_CLASSES[kind]["checkpoint_mapping_fn"]
    return convert


def _bare(name: str) -> str:
    prefix = next((prefix for prefix in BEFORE if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def _called(path: Path) -> str:
    return f"The base model {path}"


def _opened(path: Path) -> SafetensorsFiles:
    return opened([("", path)], _called(path))
