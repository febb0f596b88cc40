"""A training never waits for its device: no step asks what the device has computed, nor does what tells of steps."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from tests.support.quick import pairs_slow_but
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.loss_readback import LATE, LossReadback, readback_delay
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for

ASKS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::is_nonzero", "aten::equal"}
FETCHES = {Tensor.tolist, Tensor.item, Tensor.cpu, Tensor.numpy, Tensor.__bool__, Tensor.__int__, Tensor.__float__}


class Waited(AssertionError):
    """Something had to know what the device computed."""


class Host:
    """Tensors that are the host's own: what `choice` draws, and copies that were asked for without waiting."""

    def __init__(self, choice: torch.Generator) -> None:
        self.choice, self.kept = choice, list[Tensor]()

    def has(self, tree: object) -> bool:
        return any(one is other for one in tree_iter(tree) for other in self.kept if isinstance(one, Tensor))


class NeverAsked(TorchDispatchMode):
    """Raises Waited where an operation needs a tensor's values on the host: on a GPU it would wait for them."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        masks = name == "aten::index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if (name in ASKS or masks) and not self.host.has(args):
            raise Waited(name)
        return func(*args, **(kwargs or {}))


class NeverFetched(TorchFunctionMode):
    """The same for Python: lists, arrays and copies to the CPU, which on a CPU are no operations at all."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        copies = func is Tensor.to and ("cpu" in args or kwargs.get("device") == "cpu")
        if (func in FETCHES or (copies and not kwargs.get("non_blocking"))) and not self.host.has(args):
            raise Waited(getattr(func, "__name__", str(func)))
        made = func(*args, **kwargs)
        if copies or kwargs.get("generator") is self.host.choice:
            self.host.kept += [made]
        return made


def never_waits(host: Host, what: Callable[[], object]) -> None:
    with NeverFetched(host), NeverAsked(host):
        what()


def training_of(base: BaseModel, photos: list[Path], **changes: Any) -> Training:
    side = base.image_px // base.latent_px
    class_latents = torch.randn(8, 4, side, side, generator=torch.Generator().manual_seed(1))
    how = recipe_for(base.folder, steps=8, **changes)
    return Training(base, [(SubjectSpec(photos, "dog", "zuf"), class_latents)], how, seed=0)


HOW: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"method": "lora"},
    "everything": {"snr_gamma": 5.0, "ema_decay": 0.9, "noise_offset": 0.1, "accumulation": 2, "text_steps": 1},
}


@pytest.mark.parametrize(
    ("model", "how"),
    pairs_slow_but(
        product(("micro_sd1", "micro_sd2", "micro_sdxl"), HOW),
        ("micro_sd1", "full"), ("micro_sd2", "everything"),
    ),
)  # fmt: skip
def test_a_step_waits_for_nothing(request: pytest.FixtureRequest, photos: list[Path], model: str, how: str) -> None:
    training = training_of(load_base(str(request.getfixturevalue(model))), photos, **HOW[how])
    training.step()
    never_waits(Host(training.choice), training.step)


@pytest.mark.parametrize(
    "ask",
    [
        lambda losses: float(losses[0, 0]),
        lambda losses: losses[:1].tolist(),
        lambda losses: losses.to("cpu"),
        lambda losses: losses[losses > 0],
        lambda losses: bool((losses > 0).any()),
    ],
)
def test_to_ask_is_noticed(base: BaseModel, photos: list[Path], ask: Callable[[Tensor], object]) -> None:
    training = training_of(base, photos)
    with pytest.raises(Waited):
        never_waits(Host(training.choice), lambda: ask(training.losses))


def test_losses_are_told_late_on_a_gpu_all_of_them_and_in_order(base: BaseModel, photos: list[Path]) -> None:
    assert (readback_delay(torch.device("cuda")), readback_delay(torch.device("cpu"))) == (LATE, 0)
    training, late, at_once, found = training_of(base, photos), LossReadback(LATE), LossReadback(0), list[Any]()

    host = Host(training.choice)

    def step() -> None:
        training.step()
        told = list(late.after(training))
        assert [number for number, _ in told] == [training.taken - LATE][: training.taken - LATE > 0]
        found.extend(told)

    for _ in range(5):
        never_waits(host, step)
        assert [number for number, _ in at_once.after(training)] == [training.taken]
    found.extend(late.rest())
    assert found == list(enumerate(training.losses[:5, 0].tolist(), 1))
    assert not list(late.rest())
