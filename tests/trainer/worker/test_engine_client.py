"""The engine, seen from the worker's end of the pipes: whoever leaves a task stops it."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from trainer.dreambooth.weights import save_learned
from trainer.engine.engine import Engine
from trainer.models.base import load_base
from trainer.protocol import ImagineTask, TaskResult, TrainTask
from trainer.worker.engine_client import EngineClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(micro_model: Path) -> AsyncIterator[EngineClient]:
    """One for all, since each start takes seconds; it is there when a test wants it, however the one before left it."""
    client = EngineClient(str(micro_model))
    yield client
    await client.stop()


def picture(folder: Path, job: str = "one", steps: int = 2, **changes: Any) -> ImagineTask:
    usual: dict[str, Any] = {"prompt": "a dog", "weights": None, "seeds": (1,), "guidance": 1.0, "negative": ""}
    how = {**usual, "scheduler": "ddim", "vary_seed": None, "facts": {}, **changes}
    return ImagineTask(job=job, folder=str(folder), steps=steps, **how)


def engine_of(client: EngineClient) -> psutil.Process | None:
    """The process of an engine, if there is one."""
    known = (p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE)
    return next((p for p in known if client.base_model in p.cmdline()), None)


def run(engine: Engine, *tasks: ImagineTask | TrainTask) -> None:
    """Have an engine in this process do some tasks."""
    for task in tasks:
        engine.inbox.put(task)
    engine.run_until_idle()


async def result(engine: EngineClient, task: ImagineTask) -> TaskResult:
    async with aclosing(engine.run(task)) as said:
        *_, last = [news async for news in said]
    assert isinstance(last, TaskResult)
    return last


@pytest.mark.slow
async def test_a_task_that_is_left_stops_and_can_be_taken_up_again(engine: EngineClient, tmp_path: Path) -> None:
    async with aclosing(engine.run(picture(tmp_path, steps=900, seeds=tuple(range(16))))) as said:
        async for _ in said:
            break
    assert not await engine.cancel("one")  # it has ended
    assert (await result(engine, picture(tmp_path))).state == "done"


@pytest.mark.exhaustive
async def test_an_engine_that_does_not_listen_is_replaced(
    engine: EngineClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.worker.engine_client.STOPS_WITHIN_S", 0.0)
    async with aclosing(engine.run(picture(tmp_path, steps=900, seeds=tuple(range(16))))) as said:
        async for _ in said:
            break
    assert (await result(engine, picture(tmp_path, job="two"))).state == "done"


@pytest.mark.exhaustive
async def test_an_engine_whose_start_nobody_waited_for_is_replaced(engine: EngineClient, tmp_path: Path) -> None:
    await engine.start()
    first = engine_of(engine)
    first.kill()
    starting = asyncio.create_task(engine.start())
    async with asyncio.timeout(120):
        while engine_of(engine) in (None, first):
            if starting.done():  # it had not noticed yet that the first one is dead
                starting = asyncio.create_task(engine.start())
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)  # it is there, and not ready yet
    assert not starting.done()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    async with asyncio.timeout(240):
        assert (await result(engine, picture(tmp_path))).state == "done"


async def test_weights_whose_file_is_gone_leave_the_memory(micro_model: Path, tmp_path: Path) -> None:
    """The worker removes files of subjects that are forgotten; the engine needs not be told."""
    engine = Engine(load_base(str(micro_model)), lambda _: None)
    weights = tmp_path / "weights.safetensors"
    save_learned(weights, engine.base.denoiser.copy(), engine.base.denoiser)
    run(engine, picture(tmp_path, weights=str(weights)))
    with engine.subjects.loaded(str(weights)) as denoiser:
        learned = weakref.ref(denoiser)
    del denoiser
    engine.subjects.drop_forgotten()
    assert learned() is not None
    weights.unlink()
    engine.subjects.drop_forgotten()
    gc.collect()
    assert learned() is None
