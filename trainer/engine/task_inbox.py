"""What the engine's two threads share: the tasks that wait and the wishes to stop, behind one lock."""

import threading
from collections import deque

from trainer.protocol import Cancel, ImagineTask, Pause, Task


class TaskInbox:
    """Filled by the thread that listens to the worker, emptied by the one that computes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._cancelled: set[str] = set()
        self._pausing = False

    def put(self, message: Task | Cancel | Pause) -> None:
        """Take in what the worker said."""
        with self._changed:
            if isinstance(message, Cancel):
                self._cancelled.add(message.job)
            elif isinstance(message, Pause):
                self._pausing = True
            else:
                self._cancelled.discard(message.job)  # that was about an earlier attempt
                self._waiting.append(message)
                self._changed.notify_all()

    def next(self, timeout_s: float) -> Task | None:
        """Take the oldest task; None if none comes within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def pictures(self) -> list[ImagineTask]:
        """Take all drawing tasks, oldest first, and leave trainings waiting."""
        with self._changed:
            tasks = [task for task in self._waiting if isinstance(task, ImagineTask)]
            self._waiting = deque(task for task in self._waiting if not isinstance(task, ImagineTask))
            return tasks

    def is_cancelled(self, job: str) -> bool:
        """Whether a job is to stop."""
        with self._changed:
            return job in self._cancelled

    @property
    def pausing(self) -> bool:
        """Whether trainings are to be written down and stopped, since the worker is about to end."""
        with self._changed:
            return self._pausing
