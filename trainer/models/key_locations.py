"""Where weights of ours lie in files of another layout: under another name, as part of another one, or transposed."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Form = Literal["same", "pixel", "turned"]  # pixel: a matrix that is kept as a convolution of 1 × 1; turned: transposed


class KeyLocation(NamedTuple):
    """Where a weight of ours lies in a file."""

    name: str
    part: int = 0  # which of so many equal parts, by rows
    parts: int = 1
    form: Form = "same"


def gathered(weights: Mapping[str, Tensor], where: Mapping[str, KeyLocation]) -> dict[str, Tensor]:
    """Our weights as the original layout has them."""
    parts: dict[str, dict[int, Tensor]] = {}
    for name, place in where.items():
        parts.setdefault(place.name, {})[place.part] = _in_form(weights[name], place.form)
    return {
        name: torch.cat([some[k] for k in sorted(some)]) if len(some) > 1 else some[0] for name, some in parts.items()
    }


def _in_form(weight: Tensor, form: Form) -> Tensor:
    if form == "turned":
        return weight.T
    return weight[:, :, None, None] if form == "pixel" else weight


def picked(read: Callable[[str], Tensor], place: KeyLocation) -> Tensor:
    """One weight of ours out of a file of the original layout; `read` gives what the file has by a name."""
    part = read(place.name).chunk(place.parts)[place.part]
    return part.T if place.form == "turned" else part
