"""A projection and its adapter at once compute what peft's own layer computes, there and back."""

from contextlib import nullcontext

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from trainer.dreambooth.lora_linear import LoraLinear


def projected(kind: type[nn.Module] | None, bias: bool, half: bool) -> list[Tensor]:
    """What an adapted projection of two prompts is, and the gradients of what goes in and of its adapter."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 8, bias=bias)).requires_grad_(False)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["0"], init_lora_weights=False)
    if kind:
        config._register_custom_module({nn.Linear: kind})
    inject_adapter_in_model(config, network)
    x = torch.randn(2, 5, 12, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        y = network(x)
    y.float().square().sum().backward()
    assert x.grad is not None
    return [y, x.grad, *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("half", "close"), [(False, 1e-5), (True, 5e-2)])
def test_it_is_pefts_layer_in_one(bias: bool, half: bool, close: float) -> None:
    ours, pefts = projected(LoraLinear, bias, half), projected(None, bias, half)
    assert len(ours) == len(pefts) == 4
    for one, other in zip(ours, pefts, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=close, atol=close * other.abs().max().item())
