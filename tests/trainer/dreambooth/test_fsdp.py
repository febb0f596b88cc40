"""One training in two processes of which each keeps but half of it: the same is learned, drawn and written down."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from storage.contract.recipe import Recipe
from tests.trainer.engine.test_distributed import PLAIN, Alone, assert_alike, checkpoints, engine, left_at, training
from tests.trainer.engine.test_distributed import model as model  # fixture
from tests.trainer.worker.test_engine_client import result
from trainer.memory import device
from trainer.memory.device import Device, must_shard
from trainer.models.base import BaseModel, load_base
from trainer.protocol import TrainTask

pytestmark = pytest.mark.timeout(400)
STEPS = 4
CLIPPED = {"word_learning_rate": 1e-3, "ema_decay": 0.9, "gradient_clip": 0.05}
WAYS: dict[str, dict[str, Any]] = {
    "groups, average, clip and candidates": {
        "batch": 2,
        "validate_every": 2,
        "candidates": 2,
        "text_steps": 2,
        **CLIPPED,
    },
    "passes, and text encoders as they are": {
        "accumulation": 4,
        "gradient_checkpointing": True,
        "text_learning_rate": 0,
        **PLAIN,
    },
    "lora, which stays whole": {"batch": 2, "method": "lora", **PLAIN},
}


def pictures(task: TrainTask) -> Any:
    paths = sorted(Path(task.folder).glob("sample-*.png"))
    return np.stack([np.asarray(Image.open(path), float) for path in paths])


def shapes(checkpoint: Path) -> dict[str, tuple[Any, ...]]:
    """What is in a checkpoint, but for losses, of which there is one a step."""
    kept = load_file(checkpoint).items()
    return {name: (value.dtype, *value.shape) for name, value in kept if name != "losses"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["micro_sdxl"], indirect=True)
async def test_shares_of_two_learn_what_one_does(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DARKROOM_SHARDING", "full")
    one = Alone(model)
    async with engine(model, 2) as two:
        for way, how in WAYS.items():
            ours, theirs = (training(tmp_path, f"{way} {n}", steps=STEPS, **how) for n in (2, 1))
            expected = one.result(theirs)
            found = await result(two, ours)
            assert_alike(found, expected)
            assert np.array(found.validated) == pytest.approx(np.array(expected.validated), rel=1e-3)
            assert np.abs(pictures(ours) - pictures(theirs)).max() <= 1
            shares = re.findall(r"(\d+) of (\d+) weights here", capfd.readouterr().err)
            assert [round(int(kept) / int(of), 1) for kept, of in shares] == ([] if "lora" in way else [0.5, 0.5])

        long = {"batch": 2, "steps": 12, "ema_decay": 0.9, **PLAIN}
        undisturbed = training(tmp_path, "undisturbed", checkpoint_s=0, **long)
        whole = one.result(undisturbed)
        written = checkpoints(undisturbed)
        theirs = written[len(written) // 2]
        assert_alike(await result(two, training(tmp_path, "rest 2", begun=theirs, **long)), whole)

        half = training(tmp_path, "half 2", **long)
        assert (await left_at(two, half, 3, two.pause)).state == "paused"
        (ours,) = checkpoints(half)
        assert shapes(ours) == shapes(theirs)
        assert_alike(one.result(training(tmp_path, "rest 1", begun=ours, **long)), whole)


@pytest.fixture(scope="module")
def sd1(micro_sd1: Path) -> BaseModel:
    return load_base(str(micro_sd1))


@pytest.mark.parametrize(
    ("how", "memory_bytes", "gentle", "changes", "expected"),
    [
        ("auto", 10e9, False, {}, False),
        ("auto", 1e6, False, {}, True),
        pytest.param("auto", 10e9, True, {}, True, marks=pytest.mark.slow),  # memory ran out before
        pytest.param("auto", 1e6, True, {"method": "lora"}, False, marks=pytest.mark.slow),
        pytest.param("none", 1e6, True, {}, False, marks=pytest.mark.slow),
        pytest.param("full", 10e9, False, {}, True, marks=pytest.mark.slow),
        ("full", 10e9, False, {"optimizer": "adamw8bit"}, False),
    ],
)
def test_what_does_not_fit_each_gpu_is_divided(
    sd1: BaseModel,
    monkeypatch: pytest.MonkeyPatch,
    how: Any,
    memory_bytes: float,
    gentle: bool,
    changes: dict[str, Any],
    expected: bool,
) -> None:
    monkeypatch.setattr(device, "this_machine", lambda: Device("a GPU", int(memory_bytes), torch.device("cpu")))
    assert must_shard(how, Recipe(**changes), sd1, 2, gentle) == expected
    assert not must_shard(how, Recipe(**changes), sd1, 1, gentle)
