"""What the doctor says a base model takes, against what it takes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch

from bot.cli import doctor
from storage.contract.recipe import Recipe
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.conftest import photos_of_a_character
from tests.support.micro_models import write_model_of_channels
from trainer import doctor as check
from trainer.doctor import report
from trainer.memory.device import Device
from trainer.memory.estimate import MemoryEstimate
from trainer.models.meta_model import MetaModel

FACTOR = 1.2  # between estimate and measurement
HAND_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc is to keep nothing for later: we measure what is needed


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of which a step takes hundreds of megabytes."""
    return write_model_of_channels(tmp_path_factory.mktemp("larger"), 64, 128, 256)


@pytest.fixture(scope="module", autouse=True)
def rehearsed_once() -> Iterator[None]:
    """To rehearse a step takes a second, and the same ones are told to several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetaModel, "of", cache(MetaModel.of))
        patch.setattr(MemoryEstimate, "training_bytes", cache(MemoryEstimate.training_bytes))
        yield


@pytest.mark.exhaustive
def test_estimates_are_near_what_is_measured(micro_sd1: Path, larger: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photos_of_a_character(1)[0].data)
    recipes: list[dict[str, object]] = [{"method": "full"}, {"method": "lora", "gradient_checkpointing": True}]
    recipes.append({"method": "full", "prior": "teacher"})
    command = [sys.executable, "-m", "tests.support.measure_memory", micro_sd1, larger, tmp_path / "photo.png"]
    done = subprocess.run(
        [*command, *map(json.dumps, recipes)],
        env={**os.environ, **HAND_BACK},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=400,
    )
    for said in json.loads(done.stdout):
        assert said["took"] > 2e8
        assert said["took"] / FACTOR < said["estimated"] < said["took"] * FACTOR


@pytest.mark.slow
def test_half_precision_takes_less(larger: Path) -> None:
    whole, half = (MemoryEstimate(MetaModel.of(larger, dtype)) for dtype in (torch.float32, torch.bfloat16))
    assert half.drawing_bytes() < 0.7 * whole.drawing_bytes()
    for method in ("full", "lora"):
        how = Recipe(method=method)
        assert half.training_bytes(how, torch.bfloat16) < 0.9 * whole.training_bytes(how, None)


def test_adapters_at_hand_are_counted(micro_model: Path) -> None:
    skeleton = MetaModel.of(micro_model, torch.float32)
    plain, small, large = (
        MemoryEstimate(skeleton, lora=lora) for lora in (None, *(Recipe(method="lora", rank=r) for r in (2, 8)))
    )
    adapters = [needs.drawing_bytes() - plain.drawing_bytes() for needs in (small, large)]
    assert adapters[1] == 4 * adapters[0] > 0
    assert large.beside_bytes() < large.drawing_bytes()
    with_twin = MemoryEstimate(skeleton, has_twin=True, lora=large.lora)
    without = MemoryEstimate(skeleton, has_twin=True)
    assert with_twin.drawing_bytes() - without.drawing_bytes() == 2 * adapters[1]


@pytest.mark.slow
def test_eight_bit_moments_save_six_bytes_a_weight(larger: Path) -> None:
    needs = MemoryEstimate(MetaModel.of(larger, torch.float32))
    plain, eight = (needs.training_bytes(Recipe(optimizer=kind), None) for kind in ("adamw", "adamw8bit"))
    assert plain - eight == 6 * sum(needs.skeleton.weights(part) for part in ("unet", "text_encoder"))


@pytest.mark.slow
def test_shares_take_less_of_each_gpu_but_for_what_draws(larger: Path) -> None:
    needs, how = MemoryEstimate(MetaModel.of(larger, torch.float32)), Recipe(gradient_checkpointing=True)
    alone, *shared = (needs.training_bytes(how, None, shares) for shares in (1, 2, 4, 8))
    learning = sum(needs.skeleton.weights(part) for part in ("unet", "text_encoder"))
    assert alone > shared[0] > shared[1] > shared[2]
    assert shared[0] - shared[1] == pytest.approx(16 * learning / 4)  # weight, gradient and two moments, in four bytes


def line_with(words: str, lines: Sequence[str]) -> str:
    (line,) = (line for line in lines if words in line)
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory_bytes", "state", "sentence"),
    [
        (10e9, "ok", "of the 10.0 GB that a small GPU has."),
        (0.4e9, "warn", "That is too little for training in full."),
        (0.2e9, "fail", "That is too little for this base model: take a smaller one."),
    ],
)
def test_the_doctor_says_whether_model_and_machine_fit_each_other(
    larger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory_bytes: float, state: str, sentence: str
) -> None:
    monkeypatch.setattr(check, "this_machine", lambda: Device("a small GPU", int(memory_bytes), torch.device("cpu")))
    monkeypatch.setenv("DARKROOM_BASE_MODEL", str(larger))
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    told = report(TrainerSettings())
    assert told.state == state and sentence in " ".join(told.lines)
    needs = line_with("Drawing takes about 0.", told.lines)
    assert "training in full 0.6 GB" in needs


@pytest.mark.slow
def test_the_doctor_says_by_which_method_subjects_are_learned(
    larger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "this_machine", lambda: Device("a small GPU", int(0.4e9), torch.device("cpu")))
    shutil.copytree(larger, tmp_path / "model")
    (tmp_path / "model" / "darkroom.json").unlink()
    for name, value in {"BASE_MODEL": tmp_path / "model", "HOME": tmp_path}.items():
        monkeypatch.setenv(f"DARKROOM_{name}", str(value))
    told = report(TrainerSettings())
    assert told.state == "ok" and line_with("too little for training in full", told.lines)
    method = line_with("learned by lora", told.lines)
    assert "as full takes 0.5 GB, and a small GPU has 0.4 GB" in method
    assert "class is preserved by class images" in method


def test_the_doctor_warns_where_nobody_looks_at_what_is_learned() -> None:
    (warning,) = doctor.judge(BotSettings(DARKROOM_BASE_MODEL="org/model"))
    assert warning.state == "warn" and "no early stopping. Set DARKROOM_JUDGE" in warning.says
    (content,) = doctor.judge(BotSettings(DARKROOM_BASE_MODEL="org/model", DARKROOM_JUDGE="org/clip"))
    assert content.state == "ok"
    assert doctor.judge(BotSettings(DARKROOM_BASE_MODEL="toyworld")) == []


@pytest.mark.slow
def test_the_doctor_says_when_several_gpus_divide_a_training(
    larger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "this_machine", lambda: Device("a small GPU", int(0.5e9), torch.device("cpu")))
    for name, value in {"BASE_MODEL": larger, "HOME": tmp_path, "GPUS_PER_TRAINING": 8}.items():
        monkeypatch.setenv(f"DARKROOM_{name}", str(value))
    told = report(TrainerSettings())
    needs = line_with("Drawing takes about", told.lines)
    assert told.state == "ok" and "training in full 0.6 GB or, divided among 8 GPUs, 0.4 GB of each" in needs
    monkeypatch.setenv("DARKROOM_SHARDING", "none")
    assert "divided" not in line_with("Drawing takes about", report(TrainerSettings()).lines)
