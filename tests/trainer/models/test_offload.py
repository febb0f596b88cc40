"""Blocks that lie in the machine's memory until their turn: the same numbers, and few of them on the device at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.conftest import photos_of_a_character
from tests.support.micro_models import write_micro_klein, write_micro_krea2, write_micro_z_image
from tests.support.quick import slow_but
from trainer.diffusion import sampling
from trainer.diffusion.row_adapters import RowNetwork
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training
from trainer.memory.estimate import MemoryEstimate
from trainer.memory.fit import with_less_memory
from trainer.memory.meta_run import peak_bytes
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.meta_model import MetaModel
from trainer.models.offload import offload

WRITERS: dict[str, Callable[[Path], Path]] = {
    "klein": write_micro_klein,
    "z-image": write_micro_z_image,
    "krea2": write_micro_krea2,
}
BLOCKS, WIDTH = 8, 256


class Chain(nn.Module):
    """Blocks one after another, whose weights are larger than all else."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU()) for _ in range(BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.again else block(x)
        return x


def chain(again: bool) -> tuple[Chain, Chain]:
    """One as it is, and one that is offloaded."""
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(Chain(again).requires_grad_(False))
    offload(made[1], [*made[1].blocks], torch.device("cpu"))
    return made[0], made[1]


def there_and_back(network: nn.Module) -> Tensor:
    x = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1), requires_grad=True)
    network(x).square().sum().backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("again", [True, False])
def test_gradients_are_the_same(again: bool) -> None:
    whole, parts = chain(again)
    for _ in range(3):
        assert torch.equal(there_and_back(whole), there_and_back(parts))


@pytest.mark.parametrize("back", [True, False])
def test_few_blocks_are_on_the_device_at_once(back: bool) -> None:
    _, parts = chain(again=True)
    block = sum(weight.nbytes for weight in parts.blocks[0].parameters())

    def work() -> None:
        for _ in range(2):  # what comes next is known from the first time
            if back:
                there_and_back(parts)
            else:
                with torch.no_grad():
                    parts(torch.zeros(2, WIDTH))

    assert 2 * block < peak_bytes(work, None) < (3.5 if back else 2.5) * block


def test_a_block_that_fails_leaves_its_weights_where_they_were() -> None:
    whole, parts = chain(again=False)
    with pytest.raises(RuntimeError):
        parts(torch.zeros(2, WIDTH + 1))
    assert torch.equal(there_and_back(whole), there_and_back(parts))
    assert all(isinstance(weight, nn.Parameter) for weight in parts.blocks[0][0]._parameters.values())  # type: ignore


@pytest.fixture(scope="module", params=slow_but(WRITERS, "z-image"))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ACCEPTED_LICENCES", "krea-2-community")
        yield WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


def losses(base: BaseModel, photo: Path) -> list[float]:
    how = recipe_for(
        base.folder, steps=3, learning_rate=1e-2, prior="teacher", rank=4, batch=2, accumulation=1, crops=1
    )
    training = Training(base, [(SubjectSpec([photo], "dog", "zuf"), None)], with_less_memory(how), seed=0)
    for _ in range(how.steps):
        training.step()
    return training.result().losses


def drawn(base: BaseModel) -> Tensor:
    drawer = RowNetwork(base.denoiser).adapted()
    how: dict[str, Any] = {"steps": 2, "guidance": 3.0, "scheduler": "euler"}
    return sampling.sample_latents(base, drawer, "a dog", [1, 2], **how)


@pytest.mark.parametrize("weights", ["plain", "int8"])
def test_an_offloaded_model_draws_and_learns_the_same(folder: Path, tmp_path: Path, weights: Any) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(photos_of_a_character(1)[0].data)
    whole = load_base(str(folder), weights=weights)
    latents, learned = drawn(whole), losses(whole, photo)
    for what in ("text", "blocks"):
        base = load_base(str(folder), weights=weights, offload=what)
        assert torch.equal(drawn(base), latents)
        assert losses(base, photo) == learned


def test_what_is_offloaded_takes_no_memory_of_the_device(folder: Path) -> None:
    needs = MemoryEstimate(MetaModel.of(folder, torch.float32))
    held = {what: needs.with_offload(what)._held_bytes() for what in ("none", "text", "blocks")}
    beside = {what: needs.with_offload(what).host_bytes() for what in held}
    assert held["none"] > held["text"] > held["blocks"]
    assert 0 == beside["none"] < beside["text"] < beside["blocks"]
    assert all(held[what] + beside[what] > held["none"] for what in ("text", "blocks"))  # one block is expected
