"""Which part of a base model lies in the machine's memory, and what is refused, by what a GPU has."""

from pathlib import Path
from typing import Any

import pytest
import torch

from storage.errors import SetupError, UserError
from storage.settings.trainer import TrainerSettings
from tests.support.micro_models import write_micro_z_image
from trainer.memory.device import Device
from trainer.memory.estimate import MemoryEstimate
from trainer.memory.fit import (
    estimate_of_engine,
    memory_plans,
    method_here,
    must_go_gently,
    offload_here,
    with_less_memory,
)
from trainer.models.base import load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.meta_model import MetaModel

LEAST = 2**30  # of a GPU, for CUDA itself


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro_z_image(tmp_path_factory.mktemp("models") / "Z-Image")


@pytest.fixture(scope="module")
def needs(folder: Path) -> MemoryEstimate:
    return MemoryEstimate(MetaModel.of(folder, torch.bfloat16))


def gpu(size_bytes: float) -> Device:
    return Device("a small GPU", int(size_bytes), torch.device("cuda"))


def settings(**more: Any) -> TrainerSettings:
    return TrainerSettings(_env_file=None, **{f"DARKROOM_{name}": value for name, value in more.items()})


def test_as_little_as_need_be_is_offloaded(folder: Path, needs: MemoryEstimate) -> None:
    recipe = recipe_for(folder)
    for _ in range(2):  # the first rehearsal makes tables that later ones find
        plans = [*memory_plans(needs, gpu(2 * LEAST), recipe, settings())]
    assert [(plan.offload, plan.gentle) for plan in plans] == [
        ("none", False),
        ("text", False),
        ("none", True),
        ("text", True),
        ("blocks", True),
    ]
    for plan in plans:
        least = min(each.takes_bytes for each in plans[: plans.index(plan) + 1])
        first = next(each for each in plans if each.takes_bytes <= least)
        assert offload_here(folder, needs, gpu(least), settings()) == first.offload
    drawing = gpu(0).needs_bytes(needs.with_offload("blocks").drawing_bytes())
    assert offload_here(folder, needs, gpu(drawing), settings()) == "blocks"
    with pytest.raises(
        SetupError, match=r"Drawing takes .* too little .* take a smaller one, or DARKROOM_BASE_WEIGHTS"
    ):
        offload_here(folder, needs, gpu(drawing - 1), settings())


@pytest.mark.slow
def test_where_full_subjects_may_be_drawn_nothing_is_offloaded_without_need(micro_sd1: Path) -> None:
    needs = MemoryEstimate(MetaModel.of(micro_sd1, torch.bfloat16))
    plans = [*memory_plans(needs, gpu(2 * LEAST), recipe_for(micro_sd1, method="lora"), settings())]
    assert [(plan.offload, plan.gentle) for plan in plans[:2]] == [("none", False), ("none", True)]
    assert {plan.offload for plan in plans[2:]} == {"text", "blocks"}


def test_the_setting_decides_and_several_gpus_and_the_cpu_keep_all(folder: Path, needs: MemoryEstimate) -> None:
    assert offload_here(folder, needs, gpu(0), settings(OFFLOAD="none")) == "none"
    assert offload_here(folder, needs, gpu(1e12), settings(OFFLOAD="blocks")) == "blocks"
    assert offload_here(folder, needs, gpu(0), settings(GPUS_PER_TRAINING=2)) == "none"
    assert offload_here(folder, needs, Device("it", 0, torch.device("cpu")), settings()) == "none"
    for what in ("text", "blocks"):
        with pytest.raises(SetupError, match=f"DARKROOM_OFFLOAD={what} is not for several GPUs per training"):
            offload_here(folder, needs, gpu(1e12), settings(OFFLOAD=what, GPUS_PER_TRAINING=2))


def test_a_training_that_cannot_fit_is_refused_before_it_begins(folder: Path, needs: MemoryEstimate) -> None:
    recipe = recipe_for(folder, batch=16)
    plain, gentle = (
        gpu(0).needs_bytes(needs.training_bytes(how, torch.bfloat16)) for how in (recipe, with_less_memory(recipe))
    )
    assert not must_go_gently(recipe, needs, gpu(plain))
    assert must_go_gently(recipe, needs, gpu(gentle))
    with pytest.raises(UserError, match=r"even one example at a time: it would take 1\.\d GB, and a small GPU has"):
        must_go_gently(recipe, needs, gpu(gentle - 1))


def test_what_is_quantised_or_offloaded_is_learned_by_lora(micro_sd1: Path) -> None:
    def never() -> MemoryEstimate:
        raise AssertionError("it is known without")

    here = gpu(1e12)
    assert method_here(micro_sd1, never, here, settings(BASE_WEIGHTS="int8")) == (
        "lora",
        "as the base model is kept in int8",
    )
    assert method_here(micro_sd1, never, here, settings(OFFLOAD="text"))[0] == "lora"


def test_an_engine_estimates_once_for_all_its_trainings(folder: Path) -> None:
    base, asked = load_base(str(folder)), settings()
    needs = estimate_of_engine(base, asked)
    assert estimate_of_engine(load_base(str(folder)), settings()) is needs
    assert estimate_of_engine(load_base(str(folder), weights="int8"), asked) is not needs
