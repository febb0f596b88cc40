"""A run: one task under way, carried out in steps whenever the scheduler gives it a turn."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from math import inf
from typing import Literal

from trainer.protocol import Task, TaskResult, TrainTask
from trainer.steps import Steps

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Run(ABC):
    """Base of `TrainingRun` and `SamplingRun`. It ends exactly once, with a `result`, an `error` or cancelled."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.state: State = "waiting"
        self.result: TaskResult | None = None
        self.error: Exception | None = None
        self._steps = self.steps()

    @abstractmethod
    def steps(self) -> Steps[TaskResult]:
        """All of the work, which begins when its first step is asked for."""

    def gentle_task(self) -> Task:
        """The same task with as little memory as can be, to be tried where this run has run out of it."""
        return self.task.model_copy(update={"gentle": True})

    @property
    def is_training(self) -> bool:
        """Whether it is long work that others may interrupt."""
        return isinstance(self.task, TrainTask)

    @property
    def owner(self) -> str:
        """Who takes turns with others."""
        return getattr(self.task, "owner", "")

    @property
    def needs_room(self) -> bool:
        """Whether it is still to begin, and needs much more memory for as long as it takes."""
        return False

    @property
    def has_room(self) -> bool:
        """Whether there is as much, beside what is under way."""
        return True

    @property
    def batch_key(self) -> Hashable | None:
        """Runs of equal keys may take their steps in one forward pass; None: alone."""
        return None

    @property
    def rows(self) -> int:
        """Pictures in its next step."""
        return 1

    @property
    def rows_max(self) -> int:
        """Pictures that a forward pass with it may hold."""
        return 1

    def times_longer(self, rows: int) -> float:
        """How many times as long as alone its next step takes in a pass of so many rows; infinity if unknown."""
        return inf

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to be done."""
        return self.state not in ("waiting", "running")

    def step(self) -> None:
        """Work up to the next place where something else may have its turn. Whatever goes wrong ends this run alone."""
        self.state = "running"
        try:
            next(self._steps)
        except StopIteration as end:
            self.state, self.result = "done", end.value
        except Exception as error:
            self.state, self.error = "failed", error

    def step_with(self, others: "Sequence[Run]") -> None:
        """Take a step together with others of the same `batch_key`."""
        for run in (self, *others):
            run.step()

    def cancel(self) -> None:
        """Stop after the step that was taken last; what it has in hand is put away (GeneratorExit at its `yield`)."""
        self.state = "cancelled"
        try:
            self._steps.close()
        except Exception:
            log.exception("job %s was cancelled, and failed at that", self.task.job)
