"""An engine in this process for which memory is short: what is done stays done, and nobody fails who need not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support.random_adapters import subject_files
from tests.trainer.dreambooth.test_divergence import task as training
from tests.trainer.engine.test_shared_passes import Served
from tests.trainer.worker.test_engine_client import picture, run
from trainer.dreambooth.weights import save_learned
from trainer.engine.engine import SHORT, Engine
from trainer.engine.sampling_run import SamplingRun
from trainer.engine.scheduler import Scheduler
from trainer.engine.subject_cache import SubjectCache
from trainer.models.base import BaseModel, load_base
from trainer.protocol import ImagineTask, ProgressReport, TrainResult, TrainTask

HOW: dict[str, Any] = {
    "full": {"candidates": 1},
    "lora": {"method": "lora", "text_learning_rate": 0.0, "candidates": 1},
}


class ShortOnce:
    """An engine that runs out of memory once in a training, a few steps after a checkpoint was written."""

    def __init__(self, base: BaseModel, job: str = "") -> None:
        self.job, self.written, self.steps = job, threading.Event(), list[int]()
        self.checkpoint = 0
        self.results: dict[str, TrainResult] = {}
        self.engine = Engine(base, self.hear)

    def hear(self, news: Any) -> None:
        """Take in what the engine says, in the thread that writes checkpoints as well."""
        if isinstance(news, TrainResult):
            self.results[news.job] = news
        if not isinstance(news, ProgressReport) or news.job != self.job:
            return
        if news.checkpoint:
            self.checkpoint = self.checkpoint or news.step
            self.written.set()
        elif news.losses:
            self.steps.append(news.step)
            if len(self.steps) == 6:
                assert self.written.wait(60)
                raise MemoryError

    def learn(self, *tasks: TrainTask) -> dict[str, TrainResult]:
        """Have it do trainings, which write checkpoints as often as they can."""
        run(self.engine, *(task.model_copy(update={"checkpoint_s": 0.0}) for task in tasks))
        return self.results


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_training_goes_on_from_its_newest_checkpoint_with_less_memory(
    base: BaseModel, photos: list[Path], tmp_path: Path, method: str
) -> None:
    tasks = [training(tmp_path, photos, job, **HOW[method]) for job in ("undisturbed", "short")]
    whole = ShortOnce(base).learn(tasks[0])["undisturbed"]
    engine = ShortOnce(base, "short")
    result = engine.learn(tasks[1])["short"]
    assert result.state == "done" and result.detail == SHORT
    again = engine.steps[6:]  # first it says how far it is, with all losses of before
    assert again[0] >= engine.checkpoint > 0 and again[1:] == [*range(again[0] + 1, 11)]
    assert result.losses == pytest.approx(whole.losses, rel=1e-4)
    for name, weight in load_file(whole.files[0]).items():
        torch.testing.assert_close(load_file(result.files[0])[name], weight, rtol=1e-3, atol=1e-5)


def test_of_several_trainings_in_one_step_only_the_one_that_is_short_goes_back(
    base: BaseModel, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "alone").mkdir()
    alone = ShortOnce(base).learn(training(tmp_path / "alone", photos, "beside", **HOW["lora"]))["beside"]
    engine = ShortOnce(base, "short")
    results = engine.learn(*(training(tmp_path, photos, job, **HOW["lora"]) for job in ("short", "beside")))
    assert {job: result.detail for job, result in results.items()} == {"short": SHORT, "beside": ""}
    assert engine.steps[6] >= engine.checkpoint > 0
    assert results["beside"].losses == alone.losses
    assert results["short"].losses == pytest.approx(alone.losses, rel=1e-4)


@contextmanager
def memory_for(base: BaseModel, rows: int) -> Iterator[list[int]]:
    """A pass of more rows runs out of memory; gives the rows of those that did not."""
    passes: list[int] = []

    def check(module: Any, given: Any) -> None:
        if len(given[0]) > rows:
            raise torch.OutOfMemoryError(f"out of memory with {len(given[0])} rows")
        passes.append(len(given[0]))

    handle = base.denoiser.unet.conv_in.register_forward_pre_hook(check)
    yield passes
    handle.remove()


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., ImagineTask]:
    def request_of(job: str, **changes: Any) -> ImagineTask:
        folder = tmp_path / f"request-{job}"
        folder.mkdir()
        return picture(folder, job, **{"steps": 6, "guidance": 4.0, "owner": job, **changes})

    return request_of


def test_where_eight_requests_are_too_many_for_one_pass_later_ones_are_smaller_and_nobody_fails(
    micro_model: Path, request_of: Callable[..., ImagineTask], tmp_path: Path
) -> None:
    base = load_base(str(micro_model))
    subjects = subject_files(base, tmp_path)[:3]
    tasks = [request_of(f"{k}", weights=subjects[k % 3], seeds=(k,)) for k in range(8)]
    with memory_for(base, rows=8) as passes:  # two of each picture
        served = Served(base, *tasks)
    assert set(served.states().values()) == {"done"}
    assert not any(result.detail for result in served.results.values())  # none was done with less
    assert max(passes) == 8  # four pictures: half of what was too much
    assert sum(passes) == 2 * sum(task.steps for task in tasks)


def full_subjects(base: BaseModel, folder: Path, count: int) -> list[str]:
    """So many subjects of full trainings."""
    files = []
    for number in range(count):
        learned = base.denoiser.copy()
        for weight in learned.parameters():
            weight.data.mul_(1.01 + 0.01 * number)
        files.append(str(folder / f"full-{number}.safetensors"))
        save_learned(Path(files[-1]), learned, base.denoiser)
    return files


@pytest.mark.parametrize(("room", "at_once"), [(0.0, 1), (2.5, 2), (99.0, 4)])
def test_as_many_full_subjects_are_drawn_at_a_time_as_have_room(
    base: BaseModel, request_of: Callable[..., ImagineTask], tmp_path: Path, room: float, at_once: int
) -> None:
    whole_bytes = sum(weight.nbytes for weight in base.denoiser.parameters())
    cache, scheduler, under_way = SubjectCache(base, int(room * whole_bytes)), Scheduler(clock=count().__next__), 0
    engine = Engine(base, lambda news: None)
    tasks = [request_of(f"{k}", weights=file) for k, file in enumerate(full_subjects(base, tmp_path, 4))]
    runs = [SamplingRun(task, engine, cache, engine.batches, engine.drafted) for task in (*tasks, request_of("plain"))]
    for each in runs:
        scheduler.add(each)
    ended = []
    while turn := scheduler.step():
        ended += [each.task.job for each in turn if each.ended]
        under_way = max(under_way, sum(each.state == "running" for each in runs[:4]))
    assert {each.state for each in runs} == {"done"} and under_way == at_once
    if at_once == 1:
        assert [job for job in ended if job != "plain"] == ["0", "1", "2", "3"]
