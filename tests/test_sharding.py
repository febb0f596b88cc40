"""One training in two processes of which each keeps but half of it: the same is learned, drawn and written down."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from storage.recipe import Recipe
from tests.test_engine import result
from tests.test_together import assert_alike, engine, left_at, training
from tests.test_together import model as model
from tests.test_together import one_thread as one_thread
from trainer import machine
from trainer.engine_client import EngineClient
from trainer.machine import Machine, must_shard
from trainer.models import load_base
from trainer.seam import TrainTask

pytestmark = pytest.mark.timeout(240)
GROUPS = {"word_learning_rate": 1e-3, "ema_decay": 0.9, "gradient_clip": 0.05}  # each must reach its weights in shards
WAYS: dict[str, dict[str, Any]] = {"whole": {"batch": 2, **GROUPS}, "passes": {"accumulation": 4, "text_steps": 3}}


def pictures(task: TrainTask) -> Any:
    return np.stack([np.asarray(Image.open(path), float) for path in sorted(Path(task.folder).glob("sample-*"))])


async def paused(engine: EngineClient, task: TrainTask) -> Path:
    """Pause a training on the way; return its checkpoint."""
    assert (await left_at(engine, task, 4, engine.pause)).state == "paused"
    (path,) = Path(task.folder).glob("checkpoint-*")
    return path


@pytest.mark.parametrize("model", ["micro_sdxl"], indirect=True)
async def test_shards_of_two_learn_what_one_does(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DARKROOM_SHARDING", "full")
    async with engine(model, 1) as one, engine(model, 2) as two:
        for way, how in WAYS.items():
            ours, theirs = training(tmp_path, f"{way} 2", **how), training(tmp_path, f"{way} 1", **how)
            expected = await result(one, theirs)
            assert_alike(await result(two, ours), expected)
            assert np.abs(pictures(ours) - pictures(theirs)).max() <= 1
        print(capfd.readouterr().err)
