"""Whatever an engine says, or does not say any more: its tasks end, and the next one runs."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.contract.progress import Progress
from storage.errors import SetupError
from tests.support.quick import examples, slow_but
from tests.trainer.worker.test_engine_client import picture
from trainer.invalid_lines import InvalidLineLog
from trainer.protocol import (
    EngineLoad,
    Heartbeat,
    Hello,
    ProgressReport,
    SubjectResult,
    SubjectTask,
    TaskResult,
    TrainResult,
    TrainTask,
    read_news,
)
from trainer.worker.engine_client import EngineClient
from trainer.worker.engine_handle import LINE_LIMIT_BYTES, STUCK, EngineHandle, next_message
from trainer.worker.progress import ProgressReporter
from trainer.worker.watchdog import SilenceLimits, Watchdog

SOON = SilenceLimits(step_s=0.3, loading_s=5.0)
Say = Callable[..., EngineClient]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Say]:
    """Make an engine that says this of each job."""
    made: list[EngineClient] = []

    def make(limits: SilenceLimits | None = None, start: Any = (), **said: Any) -> EngineClient:
        script = tmp_path / "script.json"
        script.write_text(json.dumps({"": list(start), **said}))
        made.append(EngineClient("none", limits=limits, module=("tests.support.scripted_engine", str(script))))
        return made[-1]

    yield make
    for client in made:
        await client.stop()


def report(job: str = "one", phase: Any = "learning", **more: Any) -> str:
    return json.dumps({"say": "report", "job": job, "phase": phase, "step": 1, "of": 9, **more})


def training(folder: Path, job: str = "one", **recipe: Any) -> TrainTask:
    subject = SubjectTask(subject="s", noun="dog", photos=(), class_set="c")
    about: dict[str, Any] = {"folder": str(folder), "taken": (), "seed": 0, "checkpoint_s": 60}
    return TrainTask(job=job, subjects=(subject,), recipe=recipe, **about)


async def result(client: EngineClient, task: Any) -> TaskResult:
    async with asyncio.timeout(120), aclosing(client.run(task)) as said:
        *_, last = [news async for news in said]
    assert isinstance(last, TaskResult)
    return last


ODD_LINES = {
    "null for a number": report(losses=[None]),
    "NaN": report(losses=[math.nan], validated=[math.inf, 1.0]),
    "a number as text": report(losses=["NaN"]),
    "junk": "Traceback (most recent call last):",
    "nothing": "",
    "JSON, but no message": "[1, 2]",
    "null": "null",
    "half a line": '{"say":"report","job":"one","pha',
    "an unknown phase": report(phase="dreaming"),
    "an unknown field": report(mood="good"),
    "an unknown job": report("another"),
    "a second hello": '{"say":"hello","base_sha256":"0","folder":".","image_px":64,"device":"cpu"}',
    "control characters": "\x1b]52;c;\x07\x00\x7f",
}


async def test_a_line_that_is_no_message_costs_nothing(engine: Say, tmp_path: Path) -> None:
    said = {what: [report(what), line.replace("one", what), report(what, step=2)] for what, line in ODD_LINES.items()}
    client = engine(start=[*ODD_LINES.values()], **said)
    for what in ODD_LINES:
        assert (await result(client, picture(tmp_path, job=what))).state == "done", what


async def test_how_many_trainings_share_steps_is_as_the_engine_said_last(engine: Say, tmp_path: Path) -> None:
    hello = Hello(base_sha256="0", folder=".", image_px=64, device="cpu", trainings_at_once=4).model_dump_json()
    fewer = EngineLoad(trainings_at_once=2).model_dump_json()
    client = engine(start=[hello], measures=[fewer], ends=["EXIT"])
    known = [client.trainings_at_once]
    await client.start()
    known.append(client.trainings_at_once)
    for job in ("measures", "ends"):
        await result(client, picture(tmp_path, job=job))
        known.append(client.trainings_at_once)
    await client.start()
    assert [*known, client.trainings_at_once] == [1, 4, 2, 1, 4]


async def test_a_line_that_is_too_long_is_skipped(engine: Say, tmp_path: Path) -> None:
    client = engine(one=["x" * (LINE_LIMIT_BYTES + 2**20), report()])
    assert (await result(client, picture(tmp_path))).state == "done"


async def test_a_result_that_cannot_be_read_is_a_failure(engine: Say, tmp_path: Path) -> None:
    client = engine(one=[json.dumps({"say": "result", "job": "one", "state": "splendid"})])
    assert (await result(client, picture(tmp_path))).state == "failed"
    assert (await result(client, picture(tmp_path, job="two"))).state == "done"


@pytest.mark.parametrize("end", ["EXIT", "HALF", "CLOSE"])
async def test_an_engine_that_ends_somehow_ends_its_tasks(engine: Say, tmp_path: Path, end: str) -> None:
    client = engine(one=[report(), end])
    assert (await result(client, picture(tmp_path))).state == "died"
    assert (await result(client, picture(tmp_path, job="two"))).state == "done"


PHASES = ("loading", "class images", "learning", "sampling", "drawing", "saving")


@pytest.mark.parametrize("phase", slow_but(PHASES, "loading", "learning"))
async def test_an_engine_that_is_frozen_is_ended_and_the_next_task_runs(
    engine: Say, tmp_path: Path, phase: str
) -> None:
    # Whoever is frozen is silent for good: a limit as short as can be would end a slow machine's next task, too.
    limits = SilenceLimits(step_s=0.5, loading_s=3.0 if phase in ("loading", "saving") else 30.0)
    client = engine(limits, one=[report(phase=phase), "STOP"])
    frozen = await result(client, picture(tmp_path))
    assert (frozen.state, frozen.message) == ("died", STUCK)
    assert (await result(client, picture(tmp_path, job="two"))).state == "done"


async def test_the_processes_that_an_engine_has_started_end_with_it(tmp_path: Path) -> None:
    hello = Hello(base_sha256="ab", folder="f", image_px=64, device="cpu").model_dump_json()
    started = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {started}; echo '{hello}'; wait"
    handle = await EngineHandle.start(("sh", "-c", script), SilenceLimits())
    child = psutil.Process(int(started.read_text()))
    await handle.kill(STUCK)
    await handle.ended()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_an_engine_that_is_frozen_while_it_starts_is_ended(engine: Say) -> None:
    with pytest.raises(SetupError, match="did not answer any more while it started"):
        await engine(SilenceLimits(starting_s=1.0), start=["STOP"]).start()


async def test_an_engine_that_talks_nonsense_is_as_good_as_silent(engine: Say, tmp_path: Path) -> None:
    client = engine(SOON, one=[report(), *[0.1, "blah"] * 100])
    assert (await result(client, picture(tmp_path))).message == STUCK


def test_what_is_slow_but_steady_is_left_alone(tmp_path: Path) -> None:
    watchdog = Watchdog(SilenceLimits(step_s=120.0, loading_s=1800.0))
    watchdog.begin(picture(tmp_path))
    assert not watchdog.tick(1500.0)  # nothing is known of its steps yet
    for step in range(5):
        assert not watchdog.tick(10.0)
        watchdog.on_message(ProgressReport(job="one", phase="drawing", step=step, of=9))
    assert not watchdog.tick(190.0)
    assert watchdog.tick(20.0)  # twenty of its usual steps


def test_a_long_load_is_no_usual_step(tmp_path: Path) -> None:
    watchdog = Watchdog(SilenceLimits(step_s=120.0, loading_s=1800.0))
    watchdog.begin(picture(tmp_path))
    assert not watchdog.tick(900.0)
    watchdog.on_message(ProgressReport(job="one", phase="drawing", step=1, of=9))
    assert watchdog.limit_s == 1800.0  # the first step may have taken most of that
    assert not watchdog.tick(1.0)
    watchdog.on_message(ProgressReport(job="one", phase="drawing", step=2, of=9))
    assert watchdog.limit_s == 120.0


def test_a_sign_of_life_just_before_a_report_does_not_make_steps_seem_quick(tmp_path: Path) -> None:
    watchdog = Watchdog(SilenceLimits(step_s=120.0, loading_s=1800.0))
    watchdog.begin(picture(tmp_path))
    watchdog.on_message(ProgressReport(job="one", phase="loading"))
    for step in range(1, 9):
        assert not watchdog.tick(480.0), step
        watchdog.on_message(Heartbeat(job="one"))
        watchdog.on_message(ProgressReport(job="one", phase="drawing", step=step, of=9))


@pytest.mark.parametrize("phase", ["class images", "learning"])
@pytest.mark.parametrize(("compiled", "stuck"), [("blocks", False), ("off", True)])
def test_compiling_may_take_as_long_as_loading(tmp_path: Path, compiled: str, stuck: bool, phase: Any) -> None:
    watchdog = Watchdog(SilenceLimits(step_s=2.0, loading_s=30.0))
    watchdog.begin(training(tmp_path, compiled=compiled))
    for step in range(3):
        assert not watchdog.tick(0.05)
        watchdog.on_message(ProgressReport(job="one", phase=phase, step=step, of=9))
    assert watchdog.tick(10.0) == stuck
    watchdog.on_message(TaskResult(job="one", state="done"))
    assert not watchdog.tick(1000.0)  # an engine without a task may be silent


async def test_a_picture_beside_a_training_that_is_stuck_is_handed_back(engine: Say, tmp_path: Path) -> None:
    client = engine(SilenceLimits(step_s=1.0, loading_s=5.0), one=[report(), "STOP"])
    stuck = asyncio.create_task(result(client, training(tmp_path)))
    await asyncio.sleep(0.2)
    beside = await result(client, picture(tmp_path, job="two"))
    assert (beside.state, (await stuck).state) == ("paused", "died")


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.binary(max_size=60) | st.sampled_from([line.encode() for line in ODD_LINES.values()])))
def test_reading_comes_to_an_end_whatever_is_said(lines: list[bytes]) -> None:
    async def read() -> list[Any]:
        stream = asyncio.StreamReader()
        stream.feed_data(b"\n".join(lines))
        stream.feed_eof()
        found = []
        while (message := await next_message(stream, InvalidLineLog("the engine"))) is not None:
            found.append(message)
        return found

    assert len(asyncio.run(read())) <= sum(line.count(b"\n") + 1 for line in lines)


async def test_nonsense_is_logged_a_few_times_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"nonsense\n" * 10_000)
    stream.feed_eof()
    assert await next_message(stream, InvalidLineLog("the engine")) is None
    assert "nonsense" in caplog.text and "8192 lines from the engine" in caplog.text
    assert len(caplog.records) < 25


def test_numbers_that_are_none_reach_no_record() -> None:
    odd = ProgressReport(
        job="one", phase="learning", step=3, of=9, losses=(1.0, math.nan, math.inf), validated=(math.nan, 1.0)
    )
    assert read_news(odd.model_dump_json().encode()) == odd
    assert (odd.losses, odd.validated) == ((1.0,), None)
    reporter = ProgressReporter(redis=None, job="one")  # type: ignore[arg-type]  # nothing is written
    reporter.on_report(odd)
    assert Progress.model_validate_json(reporter.now().model_dump_json()).losses == (1.0,)
    measured = SubjectResult(identifier="zuf", class_set="c", metrics={"a": math.nan, "b": 1.0})
    ended = TrainResult(job="one", state="done", subjects=(measured,), validated=((1, math.nan, 1), (2, 1, 1)))
    assert (ended.subjects[0].metrics, ended.validated) == ({"b": 1.0}, ((2, 1.0, 1.0),))
    assert read_news(ended.model_dump_json().encode()) == ended
