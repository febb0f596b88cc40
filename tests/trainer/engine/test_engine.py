"""An engine with several tasks at once: each ends as it would alone, to the last bit, and is told of once."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.trainer.dreambooth.test_divergence import task as training
from tests.trainer.worker.test_engine_client import picture, run
from trainer.dreambooth.weights import save_learned
from trainer.engine.engine import Engine
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.models.base import BaseModel, load_base
from trainer.protocol import Cancel, ImagineTask, Pause, ProgressReport, TaskResult, TrainResult, TrainTask

EMA: dict[str, Any] = {"ema_decay": 0.9, "validate_every": 3, "steps": 6, "candidates": 2}
LORA: dict[str, Any] = {"method": "lora", "text_learning_rate": 0.0, "report_card": True, "steps": 6, "candidates": 2}


@pytest.fixture(scope="module")
def base(micro_model: Path) -> BaseModel:
    return load_base(str(micro_model))


class Heard:
    """An engine in this process, and what it has said."""

    def __init__(self, base: BaseModel) -> None:
        self.said: list[Any] = []
        self.engine = Engine(base, self.said.append, embedder=ToyworldEmbedder())

    def results(self, *tasks: ImagineTask | TrainTask) -> dict[str, TaskResult]:
        """Have it do all of these tasks."""
        run(self.engine, *tasks)
        return {news.job: news for news in self.said if isinstance(news, TaskResult)}


def made(folder: Path, result: TaskResult) -> Any:
    """What a task has made, but for where it lies."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".png"}
    weights = {
        name: w.tolist() for path in result.files[:1] if "png" not in path for name, w in load_file(path).items()
    }
    measured = (result.losses, result.validated, result.kept_step) if isinstance(result, TrainResult) else ()
    return result.state, measured, files, weights


@pytest.mark.slow
def test_two_trainings_and_a_picture_in_turn_equal_those_alone_to_the_last_bit(
    base: BaseModel, tmp_path: Path, photos: list[Path]
) -> None:
    def tasks(name: str) -> list[ImagineTask | TrainTask]:
        folder = tmp_path / name
        (folder / "picture").mkdir(parents=True)
        return [
            training(folder, photos, "ema", **EMA),
            training(folder, photos, "lora", **LORA),
            picture(folder / "picture", "picture"),
        ]

    alone: dict[str, TaskResult] = {}
    for each in tasks("alone"):
        alone |= Heard(base).results(each)
    together = Heard(base)
    results = together.results(*tasks("together"))
    for job in ("ema", "lora", "picture"):
        assert made(tmp_path / "together" / job, results[job]) == made(tmp_path / "alone" / job, alone[job]), job
    learning = [n.job for n in together.said if isinstance(n, ProgressReport) and n.phase == "learning" and n.losses]
    assert learning.index("lora") < len(learning) - 1 - learning[::-1].index("ema")  # they did take turns


def test_a_subject_that_is_drawn_stays_as_it_is_while_another_is_drawn(base: BaseModel, tmp_path: Path) -> None:
    """No policy is to be able to spoil pictures: here two drawings take turns."""
    tasks = []
    for number in range(2):
        learned = base.denoiser.copy()
        next(learned.unet.conv_out.parameters()).data.mul_(1.5 + number)
        save_learned(tmp_path / f"{number}.safetensors", learned, base.denoiser)
        (tmp_path / str(number)).mkdir()
        tasks.append(picture(tmp_path / str(number), str(number), weights=str(tmp_path / f"{number}.safetensors")))
    alone = [Heard(base).results(each)[each.job] for each in tasks]
    expected = [Path(result.files[0]).read_bytes() for result in alone]
    engine = Heard(base).engine
    runs = [engine._run_of(each) for each in tasks]
    while not all(each.ended for each in runs):
        for each in runs:
            if not each.ended:
                each.step()
    assert [Path(each.result.files[0]).read_bytes() for each in runs if each.result] == expected
    assert expected[0] != expected[1]


@pytest.mark.slow
def test_a_training_that_is_cancelled_in_the_middle_of_a_look_leaves_the_next_one_as_it_is(
    base: BaseModel, tmp_path: Path, photos: list[Path]
) -> None:
    heard = Heard(base)
    task = training(tmp_path, photos, "one", **EMA)
    say = heard.engine._say

    def cancel_at_the_first_sample(news: Any) -> None:
        say(news)
        if getattr(news, "job", "") == "one" and getattr(news, "sample", None):
            heard.engine.inbox.put(Cancel(job="one"))

    heard.engine._say = cancel_at_the_first_sample
    again = training(tmp_path, photos, "two", **EMA)
    results = heard.results(task, again)
    assert (results["one"].state, results["two"].state) == ("cancelled", "done")
    (tmp_path / "alone").mkdir()
    alone = Heard(base).results(training(tmp_path / "alone", photos, "two", **EMA))["two"]
    assert made(tmp_path / "two", results["two"]) == made(tmp_path / "alone" / "two", alone)


def test_trainings_are_paused_and_pictures_are_still_drawn(base: BaseModel, tmp_path: Path, photos: list[Path]) -> None:
    heard = Heard(base)
    heard.engine.inbox.put(Pause())
    results = heard.results(training(tmp_path, photos), picture(tmp_path, "two"))
    assert (results["one"].state, results["two"].state) == ("paused", "done")


@pytest.fixture
def restless() -> Iterator[None]:
    """Have threads interrupt each other all the time."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def test_a_task_that_comes_while_the_engine_works_is_done_once(base: BaseModel, restless: None, tmp_path: Path) -> None:
    heard = Heard(base)
    tasks = [picture(tmp_path, f"job-{number}", steps=1) for number in range(60)]

    def listen() -> None:
        for task in tasks:
            heard.engine.inbox.put(task)
            heard.engine.inbox.put(Cancel(job=f"none-{task.job}"))

    thread = threading.Thread(target=listen)
    thread.start()
    while thread.is_alive():
        heard.engine.run_until_idle()
    heard.engine.run_until_idle()
    ends = Counter(news.job for news in heard.said if isinstance(news, TaskResult) and news.state == "done")
    assert ends == Counter({task.job: 1 for task in tasks})
