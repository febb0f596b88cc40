"""The scheduler: holds all runs of an engine, and decides at each step whose turn it is.

Drawings come first, since each takes seconds and a training may take hours: after a step of a training all drawings
that are there by then are drawn, in the order in which they came, before a training has its next step. Several
trainings take turns. A policy that shares time otherwise replaces `_next`, and nothing else.
"""

from collections import deque
from collections.abc import Sequence

from trainer.engine.run import Run


class Scheduler:
    """Takes in runs at any time, and lets one of them, or a batch that fits together, take a step at a time."""

    def __init__(self, one_training: bool = False) -> None:
        """With `one_training` each goes on to its end before the next begins, instead of taking turns."""
        self.one_training = one_training
        self._drawings: deque[Run] = deque()
        self._trainings: deque[Run] = deque()  # whose turn it is first
        self._ahead: set[Run] = set()  # drawings that come before the next step of a training
        self._count_ahead = True  # the drawings that are there now come before the next step of a training

    def add(self, run: Run, first: bool = False) -> None:
        """Take in a run; with `first` it is the next of its kind."""
        if run.is_training and not self._trainings:
            self._count_ahead = True
        runs = self._trainings if run.is_training else self._drawings
        runs.appendleft(run) if first else runs.append(run)

    def cancel(self, job: str) -> list[Run]:
        """Cancel what is held for a job; return it."""
        runs = [run for run in (*self._drawings, *self._trainings) if run.task.job == job]
        for run in runs:
            run.cancel()
            self._remove(run)
        return runs

    def step(self) -> list[Run]:
        """Let those whose turn it is take a step; return them. Whoever has ended by it is held no longer."""
        turn = self._next()
        if turn:
            turn[0].step_with(turn[1:])
        for run in turn:
            if run.ended:
                self._remove(run)
        return turn

    def _next(self) -> list[Run]:
        """Whose turn it is: the oldest drawing with all that fit to it, or a training, or nobody."""
        if self._count_ahead:
            self._ahead, self._count_ahead = set(self._drawings), False
        if self._drawings and (self._ahead or not self._trainings):
            return _batch(self._drawings)
        if not self._trainings:
            return []
        training = self._trainings[0]
        self._trainings.rotate(0 if self.one_training else -1)
        self._count_ahead = True
        return [training]

    def _remove(self, run: Run) -> None:
        (self._trainings if run.is_training else self._drawings).remove(run)
        self._ahead.discard(run)


def _batch(runs: Sequence[Run]) -> list[Run]:
    """The first of some runs, and those that can take their steps together with it."""
    first, *others = runs
    return [first, *(run for run in others if first.batch_key is not None and run.batch_key == first.batch_key)]
