"""Weights of a frozen base model in 8 bits: near the whole ones, forward and backward, and half as large."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from storage.errors import SetupError, UserError
from tests.conftest import photos_of_a_character
from tests.support.micro_models import RECIPE, write_micro_klein, write_micro_krea2, write_micro_z_image
from tests.support.quick import slow_but
from trainer.diffusion import sampling
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.lora_linear import LoraLinear
from trainer.dreambooth.train import Training
from trainer.dreambooth.weights import save_learned
from trainer.engine.subject_cache import SubjectCache
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.meta_model import MetaModel
from trainer.models.quantised_linear import EightBits, dequantised, is_quantised, quantise, quantised

KINDS: tuple[EightBits, ...] = ("int8", "float8")
ERROR = {"int8": 0.01, "float8": 0.03}  # of a layer's output, as a share of its norm
WRITERS: dict[str, Callable[[Path], Path]] = {
    "klein": write_micro_klein,
    "z-image": write_micro_z_image,
    "krea2": write_micro_krea2,
}


def layer_of(kind: EightBits, bias: bool = True) -> tuple[nn.Linear, nn.Linear]:
    """A linear layer of a block, and the same in 8 bits."""
    torch.manual_seed(0)
    whole = nn.Linear(96, 64, bias=bias).requires_grad_(False)
    network = nn.Sequential(nn.ModuleList([nn.Linear(96, 64, bias=bias)]))
    network.load_state_dict({f"0.0.{name}": value for name, value in whole.state_dict().items()})
    quantise(network, kind, torch.device("cpu"))
    return whole, network[0][0]  # type: ignore[index, return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_near_what_it_was(kind: EightBits) -> None:
    weight = torch.randn(32, 64) * torch.logspace(-4, 3, 32)[:, None]
    weight[5] = 0
    values, scale = quantised(weight, kind)
    assert values.element_size() == 1 and scale.shape == (32, 1)
    error = (dequantised(values, scale, torch.float32) - weight).abs()
    allowed = weight.abs().amax(1, keepdim=True) / 254 * 1.01 if kind == "int8" else weight.abs() / 16 + scale / 512
    assert (error <= allowed).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_projects_there_and_back(kind: EightBits, bias: bool) -> None:
    whole, eight = layer_of(kind, bias)
    x = torch.randn(2, 5, 96, requires_grad=True)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ours = eight(x)
    assert {part.dtype for part in kept if part.shape == whole.weight.shape} == {eight.weight.dtype}
    theirs = whole(x)
    assert (ours - theirs).norm() < ERROR[kind] * theirs.norm()
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (ours, theirs)]
    assert (gradients[0] - gradients[1]).norm() < 2 * ERROR[kind] * gradients[1].norm()
    with torch.autocast("cpu", torch.bfloat16):
        assert eight(x).dtype is torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_learns_on_it_as_on_its_whole_weight(kind: EightBits) -> None:
    found = []
    for restored in (False, True):
        network = nn.Sequential(nn.ModuleList([layer_of(kind)[1]]))
        if restored:
            plain, layer = nn.Linear(96, 64), network[0][0]  # type: ignore[index]
            plain.load_state_dict(
                {"weight": dequantised(layer.weight, layer.scale, torch.float32), "bias": layer.bias}  # type: ignore
            )
            network = nn.Sequential(nn.ModuleList([plain]))
        network.requires_grad_(False)
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["0.0"])
        config._register_custom_module({nn.Linear: LoraLinear})
        torch.manual_seed(1)
        inject_adapter_in_model(config, network)
        adapted: Any = network[0][0]  # type: ignore[index]
        for matrix in (adapted.lora_A["default"].weight, adapted.lora_B["default"].weight):
            assert matrix.dtype is torch.float32
            matrix.data.normal_(generator=torch.Generator().manual_seed(2))
        x = torch.randn(3, 96, generator=torch.Generator().manual_seed(3), requires_grad=True)
        y = adapted(x)
        y.square().sum().backward()
        found.append([y, x.grad, *(weight.grad for weight in network.parameters() if weight.grad is not None)])
    assert len(found[0]) == 4
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture(scope="module", params=slow_but(WRITERS, "z-image"))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ACCEPTED_LICENCES", "krea-2-community")
        yield WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


def drawn(base: BaseModel) -> Tensor:
    how: dict[str, Any] = {"steps": 2, "guidance": 3.0, "scheduler": "euler"}
    return sampling.sample_latents(base, base.denoiser, "a dog", [1, 2], **how)


def size_of(base: BaseModel) -> dict[str, int]:
    return {name: weight.nbytes for name, weight in base.weights()}


def test_a_model_in_8_bits_draws_nearly_the_same_and_is_as_large_as_was_told(folder: Path) -> None:
    plain = load_base(str(folder))
    latents = drawn(plain)
    for kind, error in (("int8", 0.03), ("float8", 0.15)):
        base = load_base(str(folder), weights=kind)  # type: ignore[arg-type]
        assert base.denoiser.dtype is torch.float32 and base.denoiser.device.type == "cpu"
        assert 0 < (drawn(base) - latents).norm() < error * latents.norm()
        eight = {name for name, module in base.denoiser.named_modules() if is_quantised(module)}
        assert {name.partition(".")[0] for name in eight} == {"transformer", "text_encoder"}
        told = MetaModel.of(folder, torch.float32, kind).base  # type: ignore[arg-type]
        assert size_of(told) == size_of(base)
        assert all(4 * size_of(base)[f"{name}.weight"] == size_of(plain)[f"{name}.weight"] for name in eight)


def test_lora_is_learned_on_a_model_in_8_bits_and_drawn_with_it(folder: Path, tmp_path: Path) -> None:
    base = load_base(str(folder), weights="int8")
    photo = tmp_path / "photo.png"
    photo.write_bytes(photos_of_a_character(1)[0].data)
    recipe = recipe_for(folder, steps=30, learning_rate=1e-2, prior="teacher", rank=4, batch=1, accumulation=1, crops=1)
    training = Training(base, [(SubjectSpec([photo], "dog", "zuf"), None)], recipe, seed=0)
    for _ in range(recipe.steps):
        training.step()
    learned = training.result()
    assert sum(learned.losses[-10:]) < sum(learned.losses[:10])
    file = tmp_path / "weights.safetensors"
    save_learned(file, learned.denoiser, base.denoiser)
    how: dict[str, Any] = {"steps": 2, "guidance": 1.0, "scheduler": "euler"}
    with SubjectCache(base).loaded(str(file)) as drawer:
        ours = sampling.sample_latents(base, drawer, "a zuf dog", [1], **how)
    theirs = sampling.sample_latents(base, learned.denoiser, "a zuf dog", [1], **how)
    assert torch.allclose(ours, theirs, atol=0.05)  # it is kept in half precision


def test_full_training_is_refused_and_so_are_subjects_of_one(micro_sd1: Path, tmp_path: Path) -> None:
    photo, base = tmp_path / "photo.png", load_base(str(micro_sd1), weights="int8")
    photo.write_bytes(photos_of_a_character(1)[0].data)
    recipe = recipe_for(micro_sd1, **{**RECIPE, "method": "full"})
    with pytest.raises(UserError, match="cannot be trained with method=full: take lora"):
        Training(base, [(SubjectSpec([photo], "dog", "zuf"), None)], recipe, seed=0)
    plain, file = load_base(str(micro_sd1)), tmp_path / "full.safetensors"
    changed = plain.denoiser.copy()
    with torch.no_grad():
        next(changed.parameters()).add_(0.5)
    save_learned(file, changed, plain.denoiser)
    with pytest.raises(UserError, match="Retrain the subject with method=lora"), SubjectCache(base).loaded(str(file)):
        pass


def test_weights_that_are_no_numbers_are_found_in_8_bits_too(micro_sd1: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(micro_sd1, tmp_path / "model"))
    (file,) = (spoilt / "unet").glob("*.safetensors")
    weights = load_file(file)
    name = next(name for name in weights if name.endswith("attn1.to_q.weight"))
    weights[name][0, 0] = torch.inf
    save_file(weights, file)
    with pytest.raises(SetupError, match="not numbers"):
        load_base(str(spoilt), weights="int8")
