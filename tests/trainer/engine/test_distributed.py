"""One training in two processes, as on a host with several GPUs: the same is learned, and nobody is left waiting."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from storage.contract.recipe import Recipe
from storage.errors import SetupError
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from tests.conftest import photos_of_a_character
from tests.support.micro_models import RECIPE
from tests.trainer.worker.test_engine_client import picture, result, run
from trainer.engine.engine import Engine
from trainer.metrics.embedders import open_embedder
from trainer.models.base import load_base
from trainer.protocol import Hello, ProgressReport, SubjectTask, TaskResult, TrainTask
from trainer.worker.engine_client import EngineClient

pytestmark = pytest.mark.timeout(400)
PLAIN: dict[str, Any] = {"report_card": False, "candidates": 1}  # less is drawn
STEPS = 6
SHARES: dict[str, dict[str, Any]] = {
    "batch of two": {"batch": 2},
    "two passes": {"accumulation": 2, **PLAIN},
    "lora": {"batch": 2, "method": "lora", **PLAIN},
    "sizes": {"batch": 2, "aspect_buckets": True, **PLAIN},
}


@pytest.fixture
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model whose recipe two can share."""
    folder = tmp_path / "model"
    shutil.copytree(request.getfixturevalue(getattr(request, "param", "micro_sd1")), folder)
    (folder / "darkroom.json").write_text(json.dumps({"recipe": {**RECIPE, "batch": 2}}))
    return folder


@asynccontextmanager
async def engine(model: Path, gpus: int) -> AsyncIterator[EngineClient]:
    client = EngineClient(str(model), gpus)
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


class Alone:
    """An engine in this process, which does what it is given alone."""

    def __init__(self, model: Path) -> None:
        base = load_base(str(model))
        self.said: list[Hello | ProgressReport | TaskResult] = []
        self.engine = Engine(
            base, self.said.append, embedder=open_embedder(load_settings(TrainerSettings), base.device)
        )

    def result(self, task: TrainTask) -> TaskResult:
        run(self.engine, task)
        last = self.said[-1]
        assert isinstance(last, TaskResult)
        return last


def training(folder: Path, job: str, begun: Path | None = None, checkpoint_s: float = 60, **recipe: Any) -> TrainTask:
    """Learn from two photos, two examples a step."""
    made = folder / job
    made.mkdir()
    for upload in photos_of_a_character(2):
        (made / upload.name).write_bytes(upload.data)
    photos = sorted(made.glob("*.png"))
    subject = SubjectTask(
        subject="s",
        noun="dog",
        photos=tuple(map(str, photos)),
        wholes=(higher(photos[0]), str(photos[1])) if recipe.get("aspect_buckets") else (),
        class_set=str(folder / "class"),
    )
    return TrainTask(
        job=job,
        folder=str(made),
        subjects=(subject,),
        taken=(),
        recipe=Recipe(**{**RECIPE, "steps": STEPS, **recipe}).model_dump(),
        seed=1,
        checkpoint_s=checkpoint_s,
        begun=str(begun) if begun else None,
    )


def higher(photo: Path) -> str:
    """A copy of a photo that is no square any more."""
    copy = photo.with_suffix(".whole")
    with Image.open(photo) as image:
        image.crop((24, 0, 104, 128)).save(copy, "PNG")
    return str(copy)


def assert_alike(one: TaskResult, other: TaskResult) -> None:
    """The same was learned, but for the order in which gradients are summed."""
    assert one.state == other.state == "done", (one.message, other.message)
    assert one.losses == pytest.approx(other.losses, rel=1e-5, abs=1e-5)
    ours, theirs = (load_file(found.files[0]) for found in (one, other))
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=0.05, atol=2e-4)


def engines() -> list[psutil.Process]:
    """Those of two processes that run, and who started them."""
    return [p for p in psutil.Process().children(recursive=True) if "torch.distributed.run" in p.cmdline()] + [
        p for p in psutil.Process().children(recursive=True) if p.environ().get("WORLD_SIZE") == "2"
    ]


async def left_at(
    engine: EngineClient, task: TrainTask, step: int, leave: Callable[[], Awaitable[object]]
) -> TaskResult:
    """Run a task, and have something happen when it is at a step."""
    left = False
    async with aclosing(engine.run(task)) as said:
        async for news in said:
            if isinstance(news, ProgressReport) and news.step >= step and not left:
                left = True
                await leave()
    assert isinstance(news, TaskResult)
    return news


def checkpoints(task: TrainTask) -> list[Path]:
    """Those that a training left, the earliest first."""
    return sorted(Path(task.folder).glob("checkpoint-*"), key=lambda path: int(path.stem.partition("-")[2]))


async def goes_on_with_the_other(one: Alone, two: EngineClient, folder: Path, how: dict[str, Any]) -> None:
    """Train in one process and in two, then go on from a checkpoint of each where the other was."""
    tasks = [training(folder, f"{how['method']} {name}", checkpoint_s=0, **how) for name in ("one", "two")]
    wholes = one.result(tasks[0]), await result(two, tasks[1])
    of_one, of_two = (checkpoints(task)[0] for task in tasks)
    assert_alike(one.result(training(folder, f"{how['method']} from two", begun=of_two, **how)), wholes[1])
    assert_alike(await result(two, training(folder, f"{how['method']} from one", begun=of_one, **how)), wholes[0])


@pytest.mark.exhaustive
async def test_two_learn_what_one_does_and_are_stopped_and_killed_like_one(model: Path, tmp_path: Path) -> None:
    one, long = Alone(model), {"batch": 2, "steps": 24, **PLAIN}
    async with engine(model, 2) as two:
        for job, how in SHARES.items():
            expected = one.result(training(tmp_path, f"{job} 1", **how))
            assert_alike(await result(two, training(tmp_path, f"{job} 2", **how)), expected)
        assert (await result(two, picture(tmp_path, "picture"))).state == "done"
        for method in ("full", "lora"):
            await goes_on_with_the_other(one, two, tmp_path, {"batch": 2, "method": method, **PLAIN})

        cancelled = training(tmp_path, "cancelled", batch=2, steps=500)
        assert (await left_at(two, cancelled, 5, lambda: two.cancel("cancelled"))).state == "cancelled"
        whole = await result(two, training(tmp_path, "whole", **long))  # all are there for it

        async def kill() -> None:
            engines()[-1].kill()

        odd = await result(two, training(tmp_path, "odd", batch=3))
        assert odd.state == "failed" and "2 GPUs cannot share a step" in odd.message

        died = await left_at(two, training(tmp_path, "died", batch=2, steps=500), 5, kill)
        assert died.state == "died"
        half = training(tmp_path, "half", **long)  # which has all of them again
        assert (await left_at(two, half, 5, two.pause)).state == "paused"
        (checkpoint,) = checkpoints(half)
        assert_alike(one.result(training(tmp_path, "rest", begun=checkpoint, **long)), whole)
        processes = engines()
    _, alive = psutil.wait_procs(processes, 10)
    assert len(processes) == 3 and not alive


@pytest.mark.exhaustive
async def test_a_recipe_that_cannot_be_shared_is_refused_at_the_start(micro_sd1: Path) -> None:
    with pytest.raises(SetupError, match=r"2 GPUs cannot share a step.*batch 1 × accumulation 1"):
        async with engine(micro_sd1, 2):
            pass
