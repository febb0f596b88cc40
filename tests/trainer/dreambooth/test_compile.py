"""What makes steps quicker on a GPU, as far as a CPU can tell: compiled blocks, graphs, how weights lie in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from storage.contract.conversion import ExportRequest
from storage.contract.recipe import Recipe
from tests.support.quick import slow_but
from trainer.conversion.exporter import export
from trainer.diffusion import sampling
from trainer.dreambooth import compile
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.state import copied, restore
from trainer.dreambooth.train import Training
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.models import base as models
from trainer.models.base import BaseModel, load_base, memory_format_for
from trainer.models.default_recipe import recipe_for

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),  # the compiler's own
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]
STEPS = 20
FEW = 4


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """Frames are traced and guarded as always, but what comes of them runs as it is, which is quick to make."""
    with torch.compiler.set_stance("default", force_backend="eager"):
        yield


def training_of(base: BaseModel, photos: list[Path], steps: int = FEW, **changes: Any) -> Training:
    how = recipe_for(base.folder, steps=steps, learning_rate=1e-3, **changes)
    side = base.image_px // base.latent_px
    class_latents = torch.randn(8, 4, side, side, generator=torch.Generator().manual_seed(1))
    captions = tuple(f"on sofa {k}" for k, _ in enumerate(photos))
    return Training(base, [(SubjectSpec(photos, "dog", "zuf", captions), class_latents)], how, seed=0)


def losses_of(training: Training, between: Callable[[Training], None] = lambda training: None) -> Tensor:
    for step in range(training.recipe.steps):
        if step == training.recipe.steps // 2:
            between(training)
        training.step()
    return training.losses


# ── compiled blocks ───────────────────────────────────────────────────────────────────────────────────────────────


def look_at(training: Training) -> None:
    """Everything that a training draws meanwhile."""
    training.validate()
    with training.drawing() as denoiser:
        for together in (1, 3):
            list(sampling.draw(training.base, denoiser, "a zuf dog", [7] * together, steps=1, guidance=5.0))


def compiled_frames() -> int:
    return int(counters["frames"]["ok"])


@pytest.mark.exhaustive
@pytest.mark.usefixtures("uncompiled")
def test_a_worker_that_has_drawn_and_learned_much_still_compiles(base: BaseModel, photos: list[Path]) -> None:
    torch._dynamo.reset()
    before_all = {name: weight.stride() for name, weight in base.denoiser.named_parameters()}
    ways: list[dict[str, Any]] = [{}, *({"method": "lora", "rank": rank} for rank in (2, 3))]
    for way in ways:
        before, training = compiled_frames(), training_of(base, photos, compiled="blocks", **way)
        training.step()
        training.step()
        stepped = compiled_frames()
        assert stepped > before, way
        look_at(training)
        training.step()
        training.finish()
        look_at(training)
        assert compiled_frames() == stepped, way
    training_of(base, photos, compiled="blocks").step()
    assert compiled_frames() == stepped  # the second of a kind finds all there
    assert {name: weight.stride() for name, weight in base.denoiser.named_parameters()} == before_all


def test_recipes_that_know_only_yes_and_no_are_understood() -> None:
    for before, now in {True: "blocks", False: "off", "true": "blocks", "False": "off", "graphs": "graphs"}.items():
        assert Recipe.model_validate({"compiled": before}).compiled == now


# ── graphs ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Captures:
    """In the place of `torch.cuda.make_graphed_callables`: as strict as a graph, for shapes, places and casts."""

    def __init__(self) -> None:
        self.made = self.replayed = 0

    def __call__(self, module: Any, places: tuple[Tensor, ...], allow_unused_input: bool = False) -> Any:
        assert not (torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled())
        assert not any(part.requires_grad for part in places)
        self.made += 1
        weights = {name: weight.data_ptr() for name, weight in module.named_parameters()}

        def replay(*given: Tensor) -> Tensor:
            self.replayed += 1
            assert weights == {name: weight.data_ptr() for name, weight in module.named_parameters()}
            for place, part in zip(places, given, strict=True):
                assert place.shape == part.shape and place.dtype == part.dtype
                place.copy_(part)
            predicted: Tensor = module(*places)
            return predicted

        return replay


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch, uncompiled: None) -> Captures:
    captures = Captures()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", captures)
    monkeypatch.setattr(compile, "CAPTURING", ("cpu",))
    return captures


def through_a_checkpoint(training: Training) -> None:
    restore(training, copied(training))


def looked_at_and_restored(training: Training) -> None:
    look_at(training)
    through_a_checkpoint(training)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "lora", "accumulation": 2, "ema_decay": 0.9},
        {"text_learning_rate": 0.0, "captions": True, "precision": "bf16"},
        {"text_steps": 10, "wordings": 2},
    ],
)
def test_losses_of_replayed_passes_equal_those_of_plain_ones(
    base: BaseModel, photos: list[Path], captures: Captures, changes: dict[str, Any]
) -> None:
    plain = losses_of(training_of(base, photos, STEPS, **changes))
    replayed = losses_of(training_of(base, photos, STEPS, compiled="graphs", **changes), looked_at_and_restored)
    assert torch.allclose(plain, replayed, rtol=1e-5, atol=1e-5)
    assert (captures.made, captures.replayed) == (1, STEPS * changes.get("accumulation", 1))


@pytest.mark.slow
def test_only_the_first_shapes_are_kept_as_graphs(micro_sdxl: Path, captures: Captures) -> None:
    base = load_base(str(micro_sdxl))
    text = base.token_ids(["a zuf dog", "a dog"])
    for told in (text, base.denoiser.read(text)):
        graphs = compile.Graphs(base.denoiser)
        for side in (8, 16, 12, 8, 12):
            noisy, t = torch.randn(2, 4, side, side), torch.tensor([3, 500])
            with torch.no_grad():
                assert torch.equal(graphs(noisy, t, told), base.denoiser(noisy, t, told))
    assert (captures.made, captures.replayed) == (2 * compile.GRAPHS, 2 * 3)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"gradient_checkpointing": True}, {"compiled": "blocks"}])
def test_what_is_not_to_be_replayed_is_not(
    base: BaseModel, photos: list[Path], captures: Captures, changes: dict[str, Any]
) -> None:
    training_of(base, photos, **{"compiled": "graphs", **changes}).step()
    assert not captures.made


@pytest.mark.usefixtures("captures")
def test_what_cannot_be_captured_runs_as_it_is(
    base: BaseModel, photos: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    message = "CUDA error: operation not permitted when stream is capturing"
    replayed = losses_of(training_of(base, photos, compiled="graphs"))
    assert torch.allclose(losses_of(training_of(base, photos)), replayed, rtol=1e-5, atol=1e-5)
    assert caplog.text.count("goes without a CUDA graph: CUDA error") == 1
    message = "CUDA out of memory. Tried to allocate 2 GiB"
    with pytest.raises(RuntimeError, match="out of memory"):
        training_of(base, photos, compiled="graphs").step()


# ── channels last ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def on_gpu(micro_model: Path) -> BaseModel:
    """The micro model as it lies in a GPU's memory."""
    base = load_base(str(micro_model))
    for part in (base.denoiser, base.vae):
        part.to(memory_format=memory_format_for(torch.device("cuda")))
    return base


def orders(denoiser: torch.nn.Module) -> set[bool]:
    """Whether weights of convolutions have their channels last."""
    return {w.is_contiguous(memory_format=torch.channels_last) for w in denoiser.parameters() if is_wide(w)}


def is_wide(weight: Tensor) -> bool:
    """Whether the order shows: with one channel or one pixel both are the same."""
    return weight.ndim == 4 and min(weight.shape) > 1


@pytest.mark.slow
@pytest.mark.parametrize("method", slow_but(["full", "lora"], "lora"))
def test_weights_of_convolutions_have_their_channels_last_on_a_gpu_and_nothing_else_changes(
    base: BaseModel, on_gpu: BaseModel, photos: list[Path], tmp_path: Path, method: str
) -> None:
    assert memory_format_for(torch.device("cpu")) == torch.preserve_format
    before = {name: weight.stride() for name, weight in on_gpu.denoiser.named_parameters()}
    plain, last = (training_of(each, photos, STEPS, method=method, ema_decay=0.9) for each in (base, on_gpu))
    assert torch.allclose(losses_of(plain), losses_of(last, through_a_checkpoint), rtol=1e-5, atol=1e-5)
    assert orders(on_gpu.denoiser) == orders(last.denoiser) == {True}
    assert {name: weight.stride() for name, weight in on_gpu.denoiser.named_parameters()} == before

    save_learned(tmp_path / "w.safetensors", last.finish(), on_gpu.denoiser)
    kept = on_gpu.denoiser.copy()
    load_learned(tmp_path / "w.safetensors", kept, on_gpu.denoiser)
    assert orders(kept) == {True}


@pytest.mark.parametrize("form", ["diffusers", "single"])
def test_a_subject_is_exported_where_channels_are_last(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    """Files hold no weights in another order than the usual; what writes them puts them into it."""
    learned = base.denoiser.copy()
    with torch.no_grad():
        learned.unet.conv_out.weight += 0.1
    save_learned(tmp_path / "w.safetensors", learned, base.denoiser)
    monkeypatch.setattr(models, "memory_format_for", lambda device: torch.channels_last)
    asked = {"base_model": str(base.folder), "weights": str(tmp_path / "w.safetensors"), "format": form}
    export(ExportRequest(folder=str(tmp_path), name="rex", noun="dog", identifier="zuf", **asked), lambda doing: None)
    assert list(tmp_path.rglob("rex.safetensors" if form == "single" else "unet/*.safetensors"))
