"""Pictures of several requests in one forward pass: what goes wrong with one of them does not touch the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.support.random_adapters import subject_files
from tests.trainer.worker.test_engine_client import picture, run
from trainer.diffusion.latents import NOTHING
from trainer.engine.engine import Engine
from trainer.engine.subject_cache import MISFIT
from trainer.models.base import BaseModel
from trainer.protocol import Cancel, ImagineTask, ProgressReport, TaskResult

STEPS = 8


@pytest.fixture
def subjects(base: BaseModel, tmp_path: Path) -> list[str]:
    """Three LoRA of different ranks, and one subject of a full training."""
    return subject_files(base, tmp_path)


Ask = Callable[..., ImagineTask]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Makes a request, in a folder of its own."""
    count = 0

    def ask(job: str, **changes: Any) -> ImagineTask:
        nonlocal count
        count += 1
        folder = tmp_path / f"{job}-{count}"
        folder.mkdir()
        return picture(folder, job, **{"steps": STEPS, "guidance": 4.0, "owner": job, **changes})

    return ask


class Served:
    """An engine, its results, and something that may be done when a request has taken some steps."""

    def __init__(self, base: BaseModel, *tasks: ImagineTask, at: tuple[str, int] = ("", 0), do: Any = None) -> None:
        self.results: dict[str, TaskResult] = {}
        self.pixels: dict[str, Any] = {}
        self.batch: dict[str, str] = {}  # what a picture's metadata say of the batch it was drawn in
        self.engine = Engine(base, self.hear)
        self.at, self.do = at, do
        run(self.engine, *tasks)

    def hear(self, news: Any) -> None:
        if isinstance(news, TaskResult):
            self.results[news.job] = news
            if news.state == "done":
                self.pixels[news.job] = np.stack([np.asarray(Image.open(file), float) for file in news.files[:-1]])
                self.batch[news.job] = Image.open(news.files[0]).text["batch"]  # type: ignore[attr-defined]
        elif isinstance(news, ProgressReport) and (news.job, news.step) == self.at:
            self.do(self.engine)

    def states(self) -> dict[str, str]:
        return {job: result.state for job, result in self.results.items()}


def assert_alike(base: BaseModel, served: Served, *tasks: ImagineTask) -> None:
    """Each picture is the one that its request alone makes, to one of 255."""
    for task in tasks:
        alone = Served(base, task).pixels[task.job]
        assert np.abs(served.pixels[task.job] - alone).max() <= 1, task.job


@pytest.mark.slow
def test_mixed_requests_are_the_pictures_that_each_is_alone(base: BaseModel, subjects: list[str], ask: Ask) -> None:
    one, two, three, full = subjects
    tasks = [
        ask("ranks", weights=one, seeds=(1, 2)),
        ask("steps", weights=two, steps=5, guidance=7.0, scheduler="euler"),
        ask("both", weights=one, adapters=(three,), guidance=2.0, scheduler="dpm++2m"),
        ask("unguided", weights=three, guidance=1.0),
        ask("nobody", negative="blur", scheduler="euler-a"),
        ask("wide", weights=two, size=(96, 64)),
        ask("full", weights=full),
        ask("full-and-lora", weights=full, adapters=(two,)),
        ask("exact", weights=one, exact=True),
    ]
    served = Served(base, *tasks)
    assert set(served.states().values()) == {"done"}
    assert_alike(base, served, *tasks)
    shared = {job for job, batch in served.batch.items() if batch == "shared"}
    assert {"ranks", "steps", "both", "nobody"} <= shared
    assert not shared & {"exact", "full-and-lora"}


def test_two_requests_of_one_full_subject_share_passes(base: BaseModel, subjects: list[str], ask: Ask) -> None:
    tasks = [ask(job, weights=subjects[3], seeds=(k,)) for k, job in enumerate(("a", "b"))]
    served = Served(base, *tasks)
    assert [*served.batch.values()] == ["shared", "shared"]
    assert_alike(base, served, *tasks)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 3])  # LoRA, and a full training
def test_a_subject_that_is_forgotten_or_retrained_meanwhile_is_drawn_to_the_end(
    base: BaseModel, subjects: list[str], ask: Ask, number: int, tmp_path: Path
) -> None:
    path = Path(subjects[number])
    tasks = [ask("old", weights=str(path)), ask("beside", weights=subjects[1])]
    expected = [Served(base, task).pixels[task.job] for task in tasks]
    retrained = tmp_path / "retrained.safetensors"
    save_file({name: -each for name, each in load_file(path).items()}, retrained, {"format": "pt"})
    new = ask("new", weights=str(retrained))

    def retrain(engine: Engine) -> None:
        path.unlink()
        engine.inbox.put(new)

    served = Served(base, *tasks, at=("old", 4), do=retrain)
    assert served.states() == {"old": "done", "beside": "done", "new": "done"}
    for task, picture_before in zip(tasks, expected, strict=True):
        assert np.abs(served.pixels[task.job] - picture_before).max() <= 1
    assert np.abs(served.pixels["new"] - expected[0]).max() > 1
    assert_alike(base, served, new)


def test_a_row_that_is_cancelled_leaves_the_batch(base: BaseModel, subjects: list[str], ask: Ask) -> None:
    tasks = [ask(job, weights=path) for job, path in zip(("stays", "goes", "other"), subjects, strict=False)]
    served = Served(base, *tasks, at=("goes", 4), do=lambda engine: engine.inbox.put(Cancel(job="goes")))
    assert served.states() == {"goes": "cancelled", "stays": "done", "other": "done"}
    assert_alike(base, served, tasks[0], tasks[2])


def test_a_row_that_makes_nan_fails_alone(base: BaseModel, subjects: list[str], ask: Ask, tmp_path: Path) -> None:
    huge = tmp_path / "huge.safetensors"
    save_file({name: each * 1e30 for name, each in load_file(subjects[0]).items()}, huge, {"format": "pt"})
    tasks = [ask("sick", weights=str(huge)), ask("healthy", weights=subjects[1]), ask("nobody")]
    served = Served(base, *tasks)
    assert served.states() == {"sick": "failed", "healthy": "done", "nobody": "done"}
    assert served.results["sick"].message == NOTHING
    assert served.batch["healthy"] == "shared"
    assert_alike(base, served, *tasks[1:])


def test_adapters_of_another_base_model_are_refused_and_the_others_drawn(
    base: BaseModel, subjects: list[str], ask: Ask, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.safetensors"
    weights = {
        name: torch.ones(each.shape[0], 7) if "lora_down" in name else each
        for name, each in load_file(subjects[0]).items()
    }
    save_file(weights, stranger, {"format": "pt"})
    tasks = [ask("stranger", weights=str(stranger)), ask("one", weights=subjects[0]), ask("two", weights=subjects[1])]
    served = Served(base, *tasks)
    assert served.states() == {"stranger": "failed", "one": "done", "two": "done"}
    assert served.results["stranger"].message == MISFIT
    assert_alike(base, served, *tasks[1:])
