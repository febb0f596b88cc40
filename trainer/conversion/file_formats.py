"""Files that others have made: which tensors are in them, and whether Darkroom can take them at all."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError

from storage.errors import SetupError, UserError
from trainer.conversion.peft_config import CONFIG
from trainer.models.diffusers_layout import names_in, weights_of
from trainer.models.families import BACKBONES, FAMILIES, NETWORKS
from trainer.models.file_kinds import file_kind
from trainer.models.other_file_kinds import GGUF, PICKLE, other_file
from trainer.models.safetensors_files import SafetensorsFiles

TAKES = "Darkroom takes LoRA files and whole checkpoints"
ADAPTER = "adapter_model.safetensors"
PEFT = re.compile(r"\.lora_[AB]\.")
BARE = {name: prefix for family in FAMILIES for name, prefix in family.bare_networks.items()}


class OpenedFiles(NamedTuple):
    """What was opened."""

    tensors: SafetensorsFiles
    settings: dict[str, Path]  # files of peft's settings beside it, by the networks that they are about


def open_foreign(path: Path) -> OpenedFiles:
    """Open a file, or a folder of a LoRA or of diffusers' layout; raises UserError for what cannot be taken.

    The names of what is in a folder begin with that of its part, those in the own file of a network that predicts with
    what a checkpoint has there.
    """
    if path.is_dir() and (adapters := _adapters(path)):
        settings = {prefix.rstrip("."): file.with_name(CONFIG) for prefix, file in adapters}
        return OpenedFiles(_opened(path, adapters), _existing(settings))
    if path.is_dir() and not any((path / part).is_dir() for part in BACKBONES) and (file := _only_file(path)):
        return open_foreign(file)
    if path.is_dir():
        return OpenedFiles(_opened(path, _files(path)), {})
    tensors = _opened(path, [("", path)])
    # By names and shapes alone: nothing of a wrong file is loaded, however large it is.
    if what := file_kind(tensors.shapes):
        raise UserError(f"{path.name} is {what}. {TAKES}.")
    for name, prefix in BARE.items():
        if name in tensors.shapes:
            return OpenedFiles(_opened(path, [(prefix, path)]), {})
    # Other programs' files may lie beside a settings file that is about something else.
    by_peft = any(PEFT.search(name) for name in tensors.shapes)
    return OpenedFiles(tensors, _existing({"": path.with_name(CONFIG)}) if by_peft else {})


def _existing(files: dict[str, Path]) -> dict[str, Path]:
    return {network: file for network, file in files.items() if file.is_file()}


def _adapters(folder: Path) -> list[tuple[str, Path]]:
    """The files of a LoRA that peft has written, one for each network."""
    patterns = {part: (f"{part}/{ADAPTER}", f"{part}/*/{ADAPTER}") for part in NETWORKS}
    by_part = {part: [file for each in some for file in sorted(folder.glob(each))] for part, some in patterns.items()}
    return [(f"{part}.", files[0]) for part, files in by_part.items() if files]


def _only_file(folder: Path) -> Path | None:
    """The file of a LoRA in a folder, by its name or because there is no other."""
    files = sorted(folder.glob("*.safetensors"))
    named = [file for file in files if file.name in (ADAPTER, "pytorch_lora_weights.safetensors")]
    # Returned to be refused by name; it is never opened.
    if pickle := next((file for file in (folder / "adapter_model.bin",) if file.is_file() and not files), None):
        return pickle
    return named[0] if named else files[0] if len(files) == 1 else None


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files of the networks in a folder; raises UserError if none of them predicts."""
    names, paths = names_in(folder), []
    for part in NETWORKS:
        if any(name.startswith(f"{part}/") and name.endswith(".safetensors") for name in names):
            try:
                files = weights_of(part, names, False, folder.name)
            except SetupError as error:
                raise UserError(str(error)) from error
            paths += [(f"{part}.", folder / name) for name in sorted(files) if name.endswith(".safetensors")]
    if not any(prefix.rstrip(".") in BACKBONES for prefix, _ in paths):
        needed = " or ".join(BACKBONES)
        raise UserError(f"{folder.name} is no folder in diffusers' layout: it has no {needed} with safetensors in it.")
    return paths


def _opened(path: Path, files: Iterable[tuple[str, Path]]) -> SafetensorsFiles:
    """Open files; raises UserError, about `path`."""
    try:
        tensors = SafetensorsFiles(files)
    except SafetensorError as error:
        raise UserError(_no_safetensors(path)) from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if quantisation := tensors.unreadable_format:
        raise UserError(
            f"{path.name} is quantised ({quantisation}), and Darkroom cannot read that: take it in 16 or 32 bits."
        )
    return tensors


def _no_safetensors(path: Path) -> str:
    """What a file is that safetensors cannot open."""
    what = other_file(path)
    if what == PICKLE:
        return f"{path.name} is a pickle: to read it is to run whatever program is in it. {TAKES} as safetensors only."
    if what == GGUF:
        return f"{path.name} is quantised (GGUF), and Darkroom cannot read that: take it as safetensors."
    if what:
        return f"{path.name} is {what}."
    return f"{path.name} is no safetensors file, or only a part of one."
