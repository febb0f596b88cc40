"""Safetensors files, opened together: shapes from their headers, and tensors when they are asked for, dequantised."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from trainer.models import quantisation

if TYPE_CHECKING:
    from torch import Tensor  # which takes seconds to import: not for a file that is refused


def tensor_names(path: Path) -> frozenset[str]:
    """Names of the tensors in a file; none if it cannot be opened, which others say."""
    try:
        with safe_open(path, "np") as file:
            return frozenset(file.keys())
    except (SafetensorError, OSError):
        return frozenset()


class SafetensorsFiles:
    """The tensors of one or more files by name. Scales of quantised weights are multiplied in, and not listed."""

    def __init__(self, files: Iterable[tuple[str, Path]]) -> None:
        """Open files, each with what to put before its tensors' names; raises SafetensorError and OSError."""
        self.metadata: dict[str, str] = {}
        self.kinds: dict[str, str] = {}  # data types, of all that is in the files
        self._read: dict[str, tuple[Any, str]] = {}
        for prefix, path in files:
            handle: Any = safe_open(path, "pt")
            self.metadata |= handle.metadata() or {}
            for key in handle.keys():  # noqa: SIM118 (a handle, no dict)
                self._read[prefix + key] = (handle, key)
                self.kinds[prefix + key] = handle.get_slice(key).get_dtype()
        self._scales = quantisation.scales(self.kinds)
        self.shapes: dict[str, tuple[int, ...]] = {
            name: self._shape(name) for name in self._read if not quantisation.is_aside(name, self.kinds)
        }

    @property
    def scaled(self) -> bool:
        """Whether any of them has a scale."""
        return bool(self._scales)

    @property
    def unreadable_format(self) -> str:
        """The format that they are quantised in, if it cannot be read; empty otherwise."""
        marks = [name for name in self.kinds if name.endswith(".comfy_quant")]
        if others := {self._declared_format(mark) for mark in marks} - {*quantisation.READ_FORMATS}:
            return min(others)
        if found := quantisation.unreadable_format(self.kinds, self.metadata):
            return found
        fit = (quantisation.is_scale_of(self._shape(scale), self._shape(name)) for name, scale in self._scales.items())
        return "" if all(fit) else "scales for parts of rows"

    def _declared_format(self, mark: str) -> str:
        """The format that ComfyUI's mark of a layer names: JSON, in bytes."""
        try:
            return str(json.loads(bytes(self._raw(mark).flatten().tolist()))["format"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return "a format that it does not name"

    def __getitem__(self, name: str) -> "Tensor":
        """Read one; raises KeyError. What has a scale comes as float32, all else in the precision that it has."""
        value = self._raw(name)
        if name in self._scales:
            scale = self._raw(self._scales[name]).float()
            value = value.float() * (scale if scale.numel() == 1 else scale.reshape(-1, *[1] * (value.ndim - 1)))
        return value

    def _shape(self, name: str) -> tuple[int, ...]:
        handle, key = self._read[name]
        return tuple(handle.get_slice(key).get_shape())

    def _raw(self, name: str) -> "Tensor":
        handle, key = self._read[name]
        tensor: Tensor = handle.get_tensor(key)
        return tensor
