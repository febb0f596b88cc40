"""What files of safetensors say of themselves in their first bytes. Without torch."""

from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from storage.errors import SetupError


class Shape(NamedTuple):
    """What is said of a tensor."""

    sizes: tuple[int, ...]
    kind: str  # "F32", "F16", "BF16", "I64" …


def shapes_in(path: Path) -> dict[str, Shape]:
    """Names and shapes of the tensors in a file; raises SetupError if it is none, or was cut off."""
    try:
        with safe_open(path, "np") as kept:
            slices = {name: kept.get_slice(name) for name in kept.keys()}  # noqa: SIM118 (a handle, no dict)
            return {name: Shape(tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise SetupError(f"{path} is damaged or incomplete: {error}.") from error
