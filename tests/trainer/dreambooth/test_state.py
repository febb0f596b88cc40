"""What a checkpoint holds where optimizers and machines differ: 8-bit state, another device, another precision."""

import sys
from collections import defaultdict
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.state import copied, restore
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for

STEPS = 6
QUANTISED = ("state1", "qmap1", "absmax1")


class AdamW8bit(torch.optim.Optimizer):
    """A momentum in eight bits, kept as bitsandbytes 0.50 keeps its own: a Python int, bytes, and a map they share."""

    def __init__(self, groups: list[dict[str, Any]], weight_decay: float) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": weight_decay})
        self.qmap = torch.linspace(-1, 1, 256)

    def state_dict(self) -> dict[str, Any]:
        """What is quantised is wrapped, so that FSDP passes it over."""
        told = super().state_dict()
        told["state"] = {
            index: {"step": kept["step"], "__bnb_optimizer_quant_state__": {name: kept[name] for name in QUANTISED}}
            for index, kept in told["state"].items()
        }
        return told

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        weights = [weight for group in self.param_groups for weight in group["params"]]
        state = {weights[index]: deepcopy(kept) for index, kept in state_dict["state"].items()}
        self.__setstate__({"state": defaultdict(dict, state), "param_groups": self.param_groups})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, self.state[weight], group["lr"])

    def _move(self, weight: Tensor, kept: dict[str, Any], rate: float) -> None:
        weight.data = weight.data.contiguous()
        if not kept:
            kept |= {"step": 0, "state1": torch.full_like(weight, 128, dtype=torch.uint8), "qmap1": self.qmap}
            kept["absmax1"] = torch.zeros(1)
        assert isinstance(kept["step"], int) and kept["state1"].dtype == torch.uint8
        kept["step"] += 1
        momentum = kept["qmap1"][kept["state1"].int()] * kept["absmax1"] + weight.grad.contiguous()
        kept["absmax1"] = momentum.abs().max().view(1).clamp(min=1e-12)
        kept["state1"] = ((momentum / kept["absmax1"] + 1) * 127.5).round().to(torch.uint8)
        weight -= rate / kept["step"] * momentum


@pytest.fixture
def bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in, so that neither a GPU nor the package is needed; peft, which would look for more in it, sees none."""
    module: Any = ModuleType("bitsandbytes.optim")
    module.AdamW8bit = AdamW8bit
    monkeypatch.setitem(sys.modules, module.__name__, module)


def training_of(base: BaseModel, photos: list[Path], **changes: Any) -> Training:
    class_latents = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    how = recipe_for(base.folder, steps=STEPS, learning_rate=1e-3, **changes)
    return Training(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed=0)


def through_a_file(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    save_file(state, folder / "checkpoint")
    return load_file(folder / "checkpoint")


@pytest.mark.slow
@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_training_in_eight_bits_goes_on_bit_for_bit(
    base: BaseModel, photos: list[Path], tmp_path: Path, method: str
) -> None:
    whole, half, rest = (training_of(base, photos, optimizer="adamw8bit", method=method) for _ in range(3))
    for _ in range(STEPS):
        whole.step()
    for _ in range(STEPS // 2):
        half.step()
    restore(rest, through_a_file(copied(half), tmp_path))
    for _ in range(STEPS // 2):
        rest.step()
    assert torch.equal(rest.losses, whole.losses)
    assert all(torch.equal(weight, rest.learning[name]) for name, weight in whole.learning.items())


@pytest.mark.usefixtures("bitsandbytes")
def test_eight_bits_have_weights_that_lie_in_one_order(base: BaseModel, photos: list[Path]) -> None:
    on_gpu = deepcopy(base)
    on_gpu.denoiser.to(memory_format=torch.channels_last)
    before = {name: w.stride() for name, w in on_gpu.denoiser.named_parameters()}
    training = training_of(on_gpu, photos, optimizer="adamw8bit")
    places = {name: weight.data_ptr() for name, weight in training.learning.items()}
    training.step()
    assert {name: weight.data_ptr() for name, weight in training.learning.items()} == places
    assert {name: w.stride() for name, w in on_gpu.denoiser.named_parameters()} == before


def test_a_checkpoint_of_another_kind_of_device_or_precision_goes_on_by_other_chance(
    base: BaseModel, photos: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    half, here, there, again = (training_of(base, photos) for _ in range(4))
    for _ in range(STEPS // 2):
        half.step()
    state = copied(half)
    restore(here, state)
    assert not caplog.text
    of_a_gpu = {**state, "chance": torch.zeros(16, dtype=torch.uint8), "scale": torch.tensor([65536.0, 3.0])}
    for training in (there, again):
        restore(training, of_a_gpu)
    assert "the checkpoint at step 3 was written on another kind of device" in caplog.text
    for training in (here, there, again):
        assert training.taken == STEPS // 2
        training.step()
    assert torch.equal(there.losses, again.losses) and not torch.equal(there.losses, here.losses)
    assert torch.equal(there.losses[: STEPS // 2], here.losses[: STEPS // 2])


def test_a_checkpoint_without_a_scale_goes_on_in_half_precision(base: BaseModel, photos: list[Path]) -> None:
    half, rest = training_of(base, photos), training_of(base, photos)
    half.step()
    scaler = rest.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    restore(rest, copied(half))
    assert scaler.state_dict()["scale"] == 8.0
    again = training_of(base, photos)
    again.accelerator.scaler = torch.amp.GradScaler("cpu")
    restore(again, copied(rest))
    assert again.accelerator.scaler.state_dict()["scale"] == 8.0
