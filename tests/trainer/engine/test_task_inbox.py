"""What the engine's two threads share: nothing is lost or done twice, however often they interrupt each other."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.worker.test_engine_client import picture
from tests.trainer.worker.test_engine_handle import training
from trainer.engine.task_inbox import TaskInbox
from trainer.protocol import Cancel, Pause

TASKS = 3000


@pytest.fixture
def restless() -> Iterator[None]:
    """Have threads interrupt each other all the time."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def test_a_task_that_comes_while_another_thread_looks_is_taken_once(restless: None, tmp_path: Path) -> None:
    inbox, taken, begun = TaskInbox(), Counter[str](), threading.Event()
    tasks = [training(tmp_path, f"job-{k}") if k % 3 == 0 else picture(tmp_path, job=f"job-{k}") for k in range(TASKS)]

    def listen() -> None:
        begun.wait()
        for task in tasks:
            inbox.put(task)
            inbox.put(Cancel(job=f"none-{task.job}"))

    thread = threading.Thread(target=listen)
    thread.start()
    begun.set()
    while thread.is_alive() or sum(taken.values()) < TASKS:
        found = [*inbox.pictures(), inbox.next(0.001)]
        taken.update(task.job for task in found if task)
        inbox.is_cancelled("job-1")
    assert taken == Counter({task.job: 1 for task in tasks})


def test_wishes_to_stop_are_about_the_attempt_that_runs(tmp_path: Path) -> None:
    inbox = TaskInbox()
    inbox.put(picture(tmp_path))
    inbox.put(Cancel(job="one"))
    assert inbox.is_cancelled("one") and not inbox.is_cancelled("two") and not inbox.pausing
    inbox.put(picture(tmp_path))
    inbox.put(Pause())
    assert not inbox.is_cancelled("one") and inbox.pausing
    assert [task.job for task in inbox.pictures()] == ["one", "one"] and inbox.next(0) is None
