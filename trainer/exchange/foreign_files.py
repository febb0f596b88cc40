"""Files that others have made: which tensors are in them, and whether Darkroom can take them at all."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from storage.errors import UserError
from trainer.base_models.layout import HALF, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor  # which takes seconds to import: not for a file that is refused

PICKLES = (b"PK", b"\x80")  # how torch.save begins a file: as an archive since 1.6, as a bare pickle before

TAKES = "Darkroom takes LoRA files and whole checkpoints"
OTHERS = {  # what is none of these, by names of tensors
    re.compile(r"\.hada_"): "a LoHa",
    re.compile(r"\.lokr_"): "a LoKr",
    re.compile(r"\.dora_scale$|\.lora_magnitude_vector"): "a DoRA",
    re.compile(r"\.b?oft_|\.oft_blocks"): "an OFT",
    re.compile(r"\.diff(_b)?$"): "a LyCORIS of whole differences",
    re.compile(r"^emb_params$|^clip_[lg]$"): "a textual inversion",
    re.compile(r"^control_model\.|controlnet_cond_embedding"): "a ControlNet",
}


class Tensors:
    """The tensors of one or more safetensors files by name, read when they are asked for."""

    def __init__(self, files: Iterable[tuple[str, Path]]) -> None:
        """Open files, each with what to put before its tensors' names; raises UserError if one is of no use."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.metadata: dict[str, str] = {}
        self._read: dict[str, tuple[Any, str]] = {}
        for prefix, path in files:
            handle = _opened(path)
            self.metadata |= handle.metadata() or {}
            for key in handle.keys():  # noqa: SIM118 (a handle, no dict)
                name = prefix + (key.removeprefix("text_model.") if prefix else key)
                self.shapes[name] = tuple(handle.get_slice(key).get_shape())
                self._read[name] = (handle, key)

    def __getitem__(self, name: str) -> "Tensor":
        """Read one; raises KeyError."""
        handle, key = self._read[name]
        tensor: Tensor = handle.get_tensor(key)
        return tensor


def open_foreign(path: Path) -> Tensors:
    """Open a file, or the networks of a folder in diffusers' layout; raises UserError for what cannot be taken.

    The names of what is in a folder begin with `unet.`, `text_encoder.` and `text_encoder_2.`, those in a UNet's own
    file with `unet.`.
    """
    if path.is_dir():
        parts = ("unet", "text_encoder", "text_encoder_2")
        tensors = Tensors((f"{part}.", file) for part in parts for file in _weights(path, part))
        if not any(name.startswith("unet.") for name in tensors.shapes):
            raise UserError(f"{path.name} is no folder in diffusers' layout: it has no unet with safetensors in it.")
        return tensors
    tensors = Tensors([("", path)])
    for pattern, what in OTHERS.items():
        if any(pattern.search(name) for name in tensors.shapes):
            raise UserError(f"{path.name} is {what}. {TAKES}.")
    return Tensors([("unet.", path)]) if "conv_in.weight" in tensors.shapes else tensors


def _weights(folder: Path, part: str) -> list[Path]:
    """The files of a part's weights, one or its pieces, in full precision if there are both."""
    for stem in (WEIGHTS[part], f"{WEIGHTS[part]}.{HALF}"):
        patterns = (f"{part}/{stem}.safetensors", f"{part}/{stem}-*-of-*.safetensors")
        if found := [file for pattern in patterns for file in sorted(folder.glob(pattern))]:
            return found
    return []


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except SafetensorError as error:
        with path.open("rb") as file:
            pickled = file.read(2).startswith(PICKLES)
        if pickled:
            raise UserError(
                f"{path.name} is a pickle: to read it is to run whatever program is in it. {TAKES} as safetensors only."
            ) from error
        raise UserError(f"{path.name} is no safetensors file, or only a part of one.") from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}.") from error
