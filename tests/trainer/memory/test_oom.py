"""Memory that really runs out in a real engine: the same is done with less, or refused in words."""

import asyncio
import json
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from storage.contract.recipe import Recipe
from tests.conftest import photos_of_a_character
from tests.support.micro_models import RECIPE
from tests.trainer.worker.test_engine_client import picture, result
from trainer.engine.engine import SHORT
from trainer.protocol import ProgressReport, SubjectTask, Task, TaskResult, TrainTask
from trainer.worker.engine_client import EngineClient

pytestmark = [
    pytest.mark.timeout(480),
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs"),
]
PICTURES_SPARE_BYTES, TRAINING_SPARE_BYTES = 64 * 2**20, 256 * 2**20  # to try in vain first; all at once needs more


@pytest.fixture(scope="module")
def model(micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro model, but for larger pictures: what a step holds is what counts then, not the weights."""
    folder = tmp_path_factory.mktemp("models") / "larger"
    shutil.copytree(micro_model, folder)
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 64}))
    return folder


@pytest.fixture
async def engine(model: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineClient]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    client = EngineClient(str(model))
    await client.start()
    yield client
    await client.stop()


def process_of(engine: EngineClient) -> psutil.Process:
    return next(
        p for p in psutil.Process().children() if {"trainer.engine.process", engine.base_model} <= set(p.cmdline())
    )


def limit(engine: EngineClient, size_bytes: int = resource.RLIM_INFINITY) -> None:
    """Let the engine have no more memory than that."""
    resource.prlimit(process_of(engine).pid, resource.RLIMIT_AS, (size_bytes, resource.RLIM_INFINITY))


def most_bytes(engine: EngineClient) -> int:
    """What the engine had at most so far."""
    status = Path(f"/proc/{process_of(engine).pid}/status").read_text()
    return 1024 * int(status.partition("VmPeak:")[2].split()[0])


def pixels(files: tuple[str, ...]) -> Any:
    return np.stack([np.asarray(Image.open(file), float) for file in files[:-1]])


def training(folder: Path, job: str, **changes: Any) -> TrainTask:
    """Learn from two photos, eight examples at a time."""
    made = folder / job
    made.mkdir()
    for upload in photos_of_a_character(2):
        (made / upload.name).write_bytes(upload.data)
    recipe = Recipe(**{**RECIPE, "steps": 1, "batch": 8, "class_images": 1, **changes.pop("recipe", {})})
    photos, class_set = tuple(map(str, made.glob("*.png"))), str(folder / "class")
    subject = SubjectTask(subject="s", noun="dog", photos=photos, class_set=class_set)
    about: dict[str, Any] = {"taken": (), "seed": 1, "checkpoint_s": 60}
    return TrainTask(
        job=job,
        folder=str(made),
        subjects=(subject,),
        recipe=recipe.model_dump(),
        **about,
        **changes,
    )


@pytest.mark.exhaustive
async def test_pictures_are_drawn_one_at_a_time_where_memory_is_short(engine: EngineClient, tmp_path: Path) -> None:
    some = {"size": (224, 224), "seeds": (1, 2, 3, 4), "steps": 1}
    gently = await result(engine, picture(tmp_path, "gently", **some, gentle=True))
    expected = pixels(gently.files)

    limit(engine, most_bytes(engine) + PICTURES_SPARE_BYTES)
    short = await result(engine, picture(tmp_path, "short", **some))
    assert short.state == "done" and short.detail == SHORT
    assert np.abs(pixels(short.files) - expected).max() <= 1

    limit(engine, process_of(engine).memory_info().vms)
    refused = await result(engine, picture(tmp_path, "refused", **{**some, "size": (1024, 1024)}))
    assert refused.state == "failed" and "even one picture at a time. Please try a smaller size." in refused.message

    limit(engine)
    plenty = await result(engine, picture(tmp_path, "plenty", **some))  # the engine lives
    assert plenty.state == "done"
    assert np.abs(pixels(plenty.files) - expected).max() <= 1


@pytest.mark.exhaustive
async def test_a_training_goes_on_one_example_at_a_time_where_memory_is_short(
    engine: EngineClient, tmp_path: Path
) -> None:
    gently = await result(engine, training(tmp_path, "gently", gentle=True))
    limit(engine, most_bytes(engine) + TRAINING_SPARE_BYTES)
    short = await result(engine, training(tmp_path, "short"))
    assert short.state == "done" and short.detail == SHORT
    assert short.losses == pytest.approx(gently.losses, rel=1e-4)
    limit(engine, process_of(engine).memory_info().vms)
    larger = training(tmp_path, "refused", recipe={"crops": 32})
    refused = await result(engine, larger)
    assert (
        refused.state == "failed" and "too little memory to learn this, even one example at a time" in refused.message
    )


@pytest.mark.exhaustive
async def test_who_kills_the_engine_is_to_blame_and_who_was_beside_is_not(engine: EngineClient, tmp_path: Path) -> None:
    drawing = asyncio.Event()

    async def last(task: Task) -> TaskResult:
        async with aclosing(engine.run(task)) as said:
            async for news in said:
                if isinstance(news, ProgressReport) and news.phase == "learning":
                    learning.set()
                if isinstance(news, ProgressReport) and news.phase == "drawing":
                    drawing.set()
        assert isinstance(news, TaskResult)
        return news

    learning = asyncio.Event()
    beside = asyncio.create_task(last(training(tmp_path, "beside", recipe={"steps": 4000, "batch": 1})))
    await asyncio.wait_for(learning.wait(), 240)
    guilty = asyncio.create_task(last(picture(tmp_path, "guilty", steps=900, seeds=tuple(range(16)))))
    await asyncio.wait_for(drawing.wait(), 240)
    os.kill(process_of(engine).pid, signal.SIGKILL)
    assert (await guilty).state == "died" and "killed from outside (signal 9)" in (await guilty).message
    assert (await beside).state == "paused"
