"""What files of safetensors say of themselves in their first bytes. Without torch."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from storage.errors import SetupError

# tensors without content, by which web UIs tell how a model was trained
VELOCITY, ZERO_SNR = "v_pred", "ztsnr"


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


def metadata_in(path: Path) -> dict[str, str]:
    """What is written about the tensors in a file, beside them."""
    with safe_open(path, "np") as kept:
        return kept.metadata() or {}


def schedule_said(names: Collection[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a file says of its noise schedule, in the words of scheduler_config.json; nothing of what it leaves open.

    It does by the tensors that are in it, or in the words of Stability AI's ModelSpec; a tensor has been put there on
    purpose, and counts.
    """
    said: dict[str, Any] = {}
    if told := "v" if VELOCITY in names else metadata.get("modelspec.prediction_type"):
        said["prediction_type"] = "v_prediction" if told == "v" else told
    if ZERO_SNR in names:
        said["rescale_betas_zero_snr"] = True
    return said
