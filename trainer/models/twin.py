"""The few-step twin of a base model: distilled from it, it draws with LoRA that was learned on the base."""

from pathlib import Path

import torch

from storage.errors import SetupError
from trainer.models.base import BaseModel, models_folder, readable
from trainer.models.darkroom_json import drawing_of
from trainer.models.families import family_of
from trainer.models.finite import check_finite
from trainer.models.sources import ModelSource, find


def load_twin(twin: str, base: BaseModel, home: Path) -> BaseModel:
    """Load a twin, which shares all with its base model but the network that predicts.

    Raises SetupError for one of another family or size, or that cannot be had or read.
    """
    source = find_twin(twin, base.source, home, base.denoiser.dtype)
    with readable(source):
        drawing_of(source.folder)
        drawn = base.twin(source, base.placement)
        check_finite(drawn.denoiser.backbone.named_parameters(), source.called, drawn.denoiser.dtype)
        drawn.placement = base.placement
        return drawn


def find_twin(twin: str, base: ModelSource, home: Path, dtype: torch.dtype, weights: bool = True) -> ModelSource:
    """Find a twin as the settings name it; without `weights`, what tells about them alone. Raises SetupError."""
    half = dtype is not torch.float32
    _check(find(twin, models_folder(home), half, weights=False, twin=True), base)  # before anything large is fetched
    return find(twin, models_folder(home), half, weights, twin=True)


def _check(twin: ModelSource, base: ModelSource) -> None:
    """Raise SetupError if LoRA that was learned on one model cannot be for the other, by their settings."""
    called = base.called.removeprefix("The base model ")
    families = [family_of(source.folder) for source in (twin, base)]
    if families[0] is not families[1]:
        raise SetupError(
            f"{twin.called} cannot draw what is learned on {called}: the one is a {families[0].name}, the other "
            f"a {families[1].name}. A twin is a few-step model that was distilled from the base model."
        )
    if _shapes(twin) != _shapes(base):
        raise SetupError(f"{twin.called} cannot draw what is learned on {called}: their networks differ in size.")


def _shapes(source: ModelSource) -> dict[str, torch.Size]:
    denoiser = family_of(source.folder).skeleton(source.folder, torch.float32).denoiser
    return {name: weight.shape for name, weight in denoiser.state_dict().items()}
