"""Numbers that stop being numbers: trainings end in words and keep what was good, models and pictures are refused."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.contract.recipe import Recipe
from storage.errors import SetupError, UserError
from storage.settings.trainer import TrainerSettings
from tests.support.engine_news import last_result
from tests.support.micro_models import RECIPE
from tests.trainer.worker.test_engine_client import picture, run
from trainer.diffusion import latents
from trainer.doctor import report
from trainer.dreambooth.class_images import is_usable
from trainer.dreambooth.divergence import LEAST_SCALE, OVERFLOWS, Diverged, LossCheck
from trainer.dreambooth.weights import save_learned
from trainer.engine.engine import Engine
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.models.base import BaseModel, load_base
from trainer.models.finite import NotFinite
from trainer.protocol import ProgressReport, SubjectTask, TaskResult, TrainTask

NAN_FROM = "nan_from"  # the step from which the UNet that learns gives NaN


@pytest.fixture
def spoil(micro_model: Path) -> Iterator[Callable[[int], Engine]]:
    """Make an engine whose UNet gives NaN from some step of a training on, though not when it draws."""

    def make(step: int, embedder: bool = True) -> Engine:
        base = load_base(str(micro_model))
        steps: list[int] = []

        def spoiled(module: Any, given: Any, out: Tensor) -> Tensor | None:
            steps.extend([0] if module.training else [])
            return out * torch.nan if module.training and len(steps) >= step else None

        base.denoiser.unet.conv_out.register_forward_hook(spoiled)
        said: list[Any] = []
        engine = Engine(base, said.append, embedder=ToyworldEmbedder() if embedder else None)
        engine.said = said  # type: ignore[attr-defined]
        return engine

    return make  # type: ignore[return-value]


def task(folder: Path, photos: list[Path], job: str = "one", **recipe: Any) -> TrainTask:
    made = folder / job
    made.mkdir()
    how = {**RECIPE, "steps": 10, "candidates": 3, "patience": 0, "report_card": False, "validate_every": 0, **recipe}
    paths = tuple(map(str, photos))
    return TrainTask(
        job=job,
        folder=str(made),
        subjects=(SubjectTask(subject="s", noun="dog", photos=paths, class_set=str(folder / "class")),),
        taken=(),
        recipe=how,
        seed=1,
        checkpoint_s=60,
    )


def result(engine: Any, what: Any) -> TaskResult:
    run(engine, what)
    found = engine.said[-1]
    assert isinstance(found, TaskResult)
    return found


def test_a_training_that_diverges_ends_in_words_and_the_next_one_runs(
    spoil: Callable[..., Engine], tmp_path: Path, photos: list[Path]
) -> None:
    engine = spoil(5, embedder=False)
    ended = result(engine, task(tmp_path, photos))
    assert ended.state == "failed"
    assert ended.message == "The loss stopped being a number at step 5; lower the learning rate."
    told = [loss for news in engine.said if isinstance(news, ProgressReport) for loss in news.losses]  # type: ignore[attr-defined]
    assert len(told) == 4
    assert result(engine, picture(tmp_path, job="two")).state == "done"


@pytest.mark.slow
def test_the_last_good_candidate_is_kept(spoil: Callable[..., Engine], tmp_path: Path, photos: list[Path]) -> None:
    ended = result(spoil(8), task(tmp_path, photos))  # candidates after 2, 6 and 10 steps
    assert ended.state == "done" and ended.kept_step in (2, 6)
    assert ended.message == (
        f"The loss stopped being a number at step 8, so it is kept as it was at step {ended.kept_step}. "
        "To get further, lower the learning rate."
    )
    assert all(weight.isfinite().all() for weight in load_file(ended.files[0]).values())


def test_where_nothing_was_learned_yet_the_base_model_is_to_be_looked_at(
    spoil: Callable[..., Engine], tmp_path: Path, photos: list[Path]
) -> None:
    ended = result(spoil(1), task(tmp_path, photos))
    assert ended.state == "failed" and "at step 1; nothing was learned yet" in ended.message


def test_a_last_gradient_that_is_none_is_noticed_before_anything_is_published(
    micro_model: Path, tmp_path: Path, photos: list[Path]
) -> None:
    engine: Any = Engine(load_base(str(micro_model)), lambda news: engine.said.append(news))
    engine.said = []
    calls: list[int] = []

    def spoiled(module: Any, grads: Any, out: Any) -> Any:
        calls.append(0)
        return tuple(g * torch.nan if g is not None else None for g in grads) if len(calls) == 3 else None

    engine.base.denoiser.unet.conv_out.register_full_backward_hook(spoiled)
    ended = result(engine, task(tmp_path, photos, steps=3))
    assert ended.state == "failed" and ended.message.endswith("at step 3; lower the learning rate.")
    assert not ended.files


def test_half_precision_may_overflow_now_and_then_but_not_for_good() -> None:
    """A scaler, which there is on a GPU alone, skips the steps whose gradients overflow."""
    scaler = torch.amp.GradScaler("cpu")
    training: Any = SimpleNamespace(
        accelerator=SimpleNamespace(scaler=scaler, mixed_precision="fp16"), recipe=Recipe(steps=100), taken=40
    )
    check = LossCheck()
    for step, loss in enumerate((1.0, torch.inf, torch.nan, 1.0, *[torch.nan] * (OVERFLOWS - 1)), 1):
        check.loss(step, loss, training)
    with pytest.raises(Diverged, match="at step 5; set precision=no"):
        check.loss(12, torch.nan, training)
    with pytest.raises(Diverged, match="at step 100"):  # nobody would notice any more
        LossCheck().loss(100, torch.nan, training)
    check.gradients(training)
    scaler.load_state_dict({**scaler.state_dict(), "scale": LEAST_SCALE / 2})
    with pytest.raises(Diverged, match="gradients overflowed"):
        check.gradients(training)


# ── models, imports, pictures ─────────────────────────────────────────────────────────────────────────────────────


def spoiled_file(path: Path, name_part: str, value: float = torch.nan) -> None:
    """Write one number that is none into a file of weights."""
    weights = load_file(path)
    name = next(name for name in weights if name_part in name)
    weights[name].flatten()[0] = value
    save_file(weights, path)


@pytest.mark.parametrize(
    ("part", "file", "value"),
    [
        ("unet", "diffusion_pytorch_model", torch.nan),
        ("vae", "diffusion_pytorch_model", torch.inf),
        ("text_encoder", "model", torch.nan),
    ],
)
def test_a_base_model_that_has_nan_is_refused_by_the_engine_and_by_doctor(
    micro_model: Path, tmp_path: Path, part: str, file: str, value: float
) -> None:
    folder = Path(shutil.copytree(micro_model, tmp_path / "model"))
    spoiled_file(folder / part / f"{file}.safetensors", "weight", value)
    with pytest.raises(SetupError, match="weights that are not numbers"):
        load_base(str(folder))
    found = report(TrainerSettings(DARKROOM_HOME=str(tmp_path), DARKROOM_BASE_MODEL=str(folder)))
    assert found.state == "fail" and "weights that are not numbers" in found.lines[0]


def test_a_weight_that_half_precision_cannot_hold_is_told_as_that(micro_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(micro_model, tmp_path / "model"))
    spoiled_file(folder / "unet" / "diffusion_pytorch_model.safetensors", "weight", 1e6)
    with pytest.raises(SetupError, match=r"in half precision \(float16\).* Set DARKROOM_PRECISION=float32"):
        load_base(str(folder), precision="float16")
    assert load_base(str(folder), precision="float32")


@pytest.fixture
def bad_base(micro_model: Path) -> BaseModel:
    """A base model that draws nothing but NaN, though its weights are numbers: as where half precision overflows."""
    base = load_base(str(micro_model))
    base.denoiser.unet.conv_out.register_forward_hook(lambda module, given, out: out * torch.nan)
    return base


def test_pictures_that_are_no_numbers_are_not_silently_black(bad_base: BaseModel, tmp_path: Path) -> None:
    said: list[Any] = []
    run(Engine(bad_base, said.append), picture(tmp_path))
    result = last_result(said)
    assert result.state == "failed" and result.message == latents.NOTHING
    assert not list(tmp_path.glob("*.png"))


def test_class_images_that_are_no_numbers_are_not_kept(bad_base: BaseModel, tmp_path: Path, photos: list[Path]) -> None:
    said: list[Any] = []
    run(Engine(bad_base, said.append), task(tmp_path, photos))
    result = last_result(said)
    assert result.state == "failed" and result.message == latents.NOTHING
    assert not (tmp_path / "class").exists()
    save_file({"latents": torch.full((1, 4, 2, 2), torch.nan)}, tmp_path / "class")
    assert not is_usable(tmp_path / "class")


def test_learned_weights_that_are_no_numbers_are_not_drawn_with(micro_model: Path, tmp_path: Path) -> None:
    base = load_base(str(micro_model))
    learned = base.denoiser.copy()
    with torch.no_grad():
        next(learned.parameters()).flatten()[0] = torch.nan
    save_learned(tmp_path / "weights", learned, base.denoiser)
    said: list[Any] = []
    run(Engine(base, said.append), picture(tmp_path, weights=str(tmp_path / "weights")))
    result = last_result(said)
    assert result.state == "failed" and "not all of its weights are numbers" in result.message
    assert issubclass(NotFinite, UserError)
