"""Whether numbers are finite. One NaN among a model's weights spoils every picture, and no library says so."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from storage.errors import SetupError, UserError
from trainer.models.diffusers_layout import some_of


class NotFinite(UserError):
    """What was computed, or was to be computed with, holds NaN or infinity."""


def is_finite(values: Tensor) -> Tensor:
    """Whether all of `values` are finite, as a tensor on their device: nobody waits for it yet."""
    low, high = torch.aminmax(values.detach() if values.element_size() > 1 else values.detach().float())
    return low.isfinite() & high.isfinite()  # NaN is passed on by both


def not_finite(weights: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Names of the weights that hold NaN or infinity."""
    named = [(name, weight) for name, weight in weights if weight.is_floating_point() and weight.numel()]
    found = [is_finite(weight) for _, weight in named]
    fine = torch.stack(found).tolist() if found else []
    return [name for (name, _), each in zip(named, fine, strict=True) if not each]


def check_finite(weights: Iterable[tuple[str, Tensor]], called: str, dtype: torch.dtype = torch.float32) -> None:
    """Raise SetupError naming the weights of a model, `called` so and read in `dtype`, that are not finite."""
    names = not_finite(weights)
    if names and dtype is torch.float16:
        raise SetupError(
            f"{called} has weights that are not numbers (NaN or infinite) in half precision (float16), which ends at "
            f"65,504: {some_of(names)}. Set DARKROOM_PRECISION=float32; if they are none then either, get another copy."
        )
    _refuse(names, called)


def _refuse(names: list[str], called: str) -> None:
    if names:
        what = f"weights that are not numbers (NaN or infinite): {some_of(names)}"
        raise SetupError(f"{called} has {what}. Get another copy.")


def check_file(path: Path, called: str, prefixes: tuple[str, ...] = ("",)) -> None:
    """The same for those in a file whose names begin so, one after another; raises SetupError."""
    try:
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefixes)]  # noqa: SIM118 (it is no dict)
            bad = [name for name in names if not_finite([(name, file.get_tensor(name))])]
    except (SafetensorError, OSError) as error:
        raise SetupError(f"{path} is damaged or incomplete: {error}.") from error
    _refuse(bad, called)
