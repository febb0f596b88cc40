"""Weights of full trainings at hand: several at a time, by their size, read ahead, dropped when they are forgotten."""

from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.random_adapters import lora_file
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.engine.full_weights import FullWeights
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser


@pytest.fixture
def files(base: BaseModel, tmp_path: Path) -> list[str]:
    """Three subjects, of whom the last has learned but one layer."""
    found = []
    for number in range(3):
        learned = base.denoiser.copy()
        changes = learned.parameters() if number < 2 else learned.unet.conv_out.parameters()
        with torch.no_grad():
            for weight in changes:
                weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)))
        found.append(str(tmp_path / f"{number}.safetensors"))
        save_learned(Path(found[-1]), learned, base.denoiser)
    return found


def expected(base: BaseModel, *files: str) -> dict[str, Tensor]:
    into = base.denoiser.copy()
    first, *others = map(Path, files)
    load_learned(first, into, base.denoiser, *others)
    return into.state_dict()


def same(denoiser: Denoiser, weights: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, weights[name]) for name, tensor in denoiser.state_dict().items())


def test_several_are_drawn_with_at_once_and_the_base_model_stays_as_it_is(base: BaseModel, files: list[str]) -> None:
    cache, before = FullWeights(base), {name: each.clone() for name, each in base.denoiser.state_dict().items()}
    with ExitStack() as hold:
        drawn = [hold.enter_context(cache.loaded((path,))) for path in files]
        for denoiser, path in zip(drawn, files, strict=True):
            assert same(denoiser, expected(base, path))
        assert hold.enter_context(cache.loaded((files[0],))) is drawn[0]  # so that their rows share passes
    with cache.loaded((files[1],)) as again:
        assert same(again, expected(base, files[1]))
    assert same(base.denoiser, before)


def test_what_is_the_base_models_own_is_not_kept_twice(base: BaseModel, files: list[str]) -> None:
    shared = {weight.data_ptr() for weight in base.denoiser.parameters()}
    with FullWeights(base).loaded((files[2],)) as denoiser:
        own = [name for name, weight in denoiser.named_parameters() if weight.data_ptr() not in shared]
    assert own == ["unet.conv_out.weight", "unet.conv_out.bias"]


def test_the_least_recently_used_go_when_room_is_short_and_come_back(base: BaseModel, files: list[str]) -> None:
    one_bytes = sum(weight.nbytes for weight in base.denoiser.parameters())
    cache = FullWeights(base, limit_bytes=int(1.5 * one_bytes))
    for path in (files[0], files[2], files[1]):  # which leaves no room for the first
        with cache.loaded((path,)):
            pass
    Path(files[2]).rename(f"{files[2]}.away")  # it is still at hand
    with cache.loaded((files[2],)) as denoiser:
        assert denoiser.unet.conv_out.weight.data_ptr() != base.denoiser.unet.conv_out.weight.data_ptr()
    Path(f"{files[2]}.away").rename(files[2])
    with cache.loaded((files[0],)) as denoiser:
        assert same(denoiser, expected(base, files[0]))


def test_one_that_is_drawn_with_stays_however_short_room_is(base: BaseModel, files: list[str]) -> None:
    cache = FullWeights(base, limit_bytes=0)
    with cache.loaded((files[0],)) as first, cache.loaded((files[1],)) as second:
        cache.let_go()
        Path(files[0]).unlink()
        assert cache.drop_forgotten()
        assert same(second, expected(base, files[1])) and not same(first, expected(base, files[1]))
    assert cache.drop_forgotten()  # now that nobody draws with it
    with pytest.raises(OSError), cache.loaded((files[0],)):
        pass


def test_files_are_read_ahead_and_damage_is_told_when_it_is_their_turn(
    base: BaseModel, files: list[str], tmp_path: Path
) -> None:
    cache, lora = FullWeights(base), lora_file(base, tmp_path / "lora.safetensors", rank=2, alpha=2, seed=1)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing of the kind")
    cache.read_ahead(files[0], lora, str(damaged), str(tmp_path / "nothing"))
    with cache.loaded((files[0], lora)) as denoiser:
        assert same(denoiser, expected(base, files[0], lora))
    with pytest.raises(Exception, match="header"), cache.loaded((str(damaged),)):
        pass


def test_as_many_are_drawn_with_at_a_time_as_have_room(base: BaseModel, files: list[str]) -> None:
    one_bytes = sum(weight.nbytes for weight in base.denoiser.parameters())
    for room, rooms in ((0.0, [True, False]), (1.5, [True, False]), (2.5, [True, True])):
        cache = FullWeights(base, limit_bytes=int(room * one_bytes))
        with ExitStack() as hold:
            found = []
            for path in files[:2]:
                found.append(cache.has_room((path,)))
                hold.enter_context(cache.loaded((path,)))
                assert cache.has_room((path,))  # for another picture of it
        assert found == rooms and cache.has_room((files[2],))
