"""The scheduler: holds all runs of an engine, and decides at each step whose turn it is.

Among drawings the owner who has been served least since it was last idle goes first (least attained service), so
somebody's sixteen pictures hold up another's one for a step at most. Other drawings that fit into the same forward pass
come along, but not those of owners who have many more rows, were served more, and would make the pass longer. A
training gets a share of the time while pictures wait, and all of it while none do.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable

from trainer.engine.load_meter import LoadMeter
from trainer.engine.run import Run

SHARE = 0.3  # of the time for trainings while pictures wait
FIRST_S = 1.0  # that one is ahead of all others who is to be first
MANY = 2  # times the rows of who was served least, above which another owner's rows may not lengthen a pass with theirs
LEAD_S = 0.3  # by which that owner may have been served more, and they still may
LONGER = 1.25  # times as long as alone, which is not lengthened
AGING = 0.1  # of the time since its last turn makes up for what an owner was served: a crowd of others starves nobody


class Scheduler:
    """Takes in runs at any time, and lets one of them, or a batch that fits together, take a step at a time."""

    def __init__(
        self, one_training: bool = False, share: float = SHARE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """With `one_training` each goes on to its end before the next begins, instead of taking turns."""
        self.one_training, self.share, self.clock = one_training, share, clock
        self.meter = LoadMeter(clock)
        self._drawings: deque[Run] = deque()
        self._trainings: deque[Run] = deque()  # whose turn it is first
        self._served_s: dict[str, float] = defaultdict(float)  # by owner, since there were no drawings
        self._last_turn_s: dict[str, float] = {}  # by owner
        self._owed_s = 0.0  # to trainings, for the time that drawings took
        self._training_step_s = 0.0  # of the last one

    @property
    def is_training(self) -> bool:
        """Whether there are trainings."""
        return bool(self._trainings)

    def add(self, run: Run, first: bool = False) -> None:
        """Take in a run; with `first` it is the next of its kind."""
        if not run.is_training and all(other.owner != run.owner for other in self._drawings):
            self._arrive(run.owner)
        runs = self._trainings if run.is_training else self._drawings
        runs.appendleft(run) if first else runs.append(run)
        if first and not run.is_training:  # it has had its turn, and lost it
            now_s = self.clock()
            least_s = min(self._attained_s(other.owner, now_s) for other in self._drawings)
            self._served_s[run.owner], self._last_turn_s[run.owner] = least_s - FIRST_S, now_s

    def cancel(self, job: str) -> list[Run]:
        """Cancel what is held for a job; return it."""
        runs = [run for run in (*self._drawings, *self._trainings) if run.task.job == job]
        for run in runs:
            run.cancel()
            self._remove(run)
        return runs

    def step(self) -> list[Run]:
        """Let those whose turn it is take a step; return them. Whoever has ended by it is held no longer."""
        turn, began_s = self._next(), self.clock()
        if turn:
            rows = [run.rows for run in turn]  # of this step, not of the next one
            turn[0].step_with(turn[1:])
            took_s = self.clock() - began_s
            self._count(turn, rows, took_s)
            self.meter.trained(took_s) if turn[0].is_training else self.meter.drawn(sum(rows), took_s)
        for run in turn:
            if run.ended:
                self._remove(run)
        return turn

    def _next(self) -> list[Run]:
        """Whose turn it is: drawings, or a training, or nobody."""
        if self._drawings and not (self._trainings and self._is_training_due()):
            return self._drawings_together()
        if not self._trainings:
            return []
        if self.one_training:
            return [self._trainings[0]]
        batch = _batch(self._trainings)
        for run in batch:  # whose turn comes again when all others have had theirs
            self._trainings.remove(run)
            self._trainings.append(run)
        return batch

    def _drawings_together(self) -> list[Run]:
        """A drawing of the owner who was served least, the oldest, and those that come along, in their order."""
        now_s, ready, rows = self.clock(), self._ready(), Counter[str]()
        attained_s = {run.owner: self._attained_s(run.owner, now_s) for run in ready}
        for run in ready:
            rows[run.owner] += run.rows
        first, *others = sorted(ready, key=lambda run: attained_s[run.owner])
        few, lead_s = MANY * rows[first.owner], attained_s[first.owner] + LEAD_S

        def may_lengthen(run: Run) -> bool:
            return rows[run.owner] <= few or attained_s[run.owner] <= lead_s

        batch = _batch([first, *others], may_lengthen)
        # In an order that stays the same from step to step: what is stacked for the rows of a pass is used again.
        return [run for run in self._drawings if run in batch]

    def _ready(self) -> list[Run]:
        """Drawings that may take a step: those for which memory is short wait, the first of them for its turn first."""
        ready, is_short = list[Run](), False
        for run in self._drawings:
            if run.needs_room and (is_short or not run.has_room):
                is_short = True
            else:
                ready.append(run)
        return ready or [*self._drawings]

    def _is_training_due(self) -> bool:
        """Whether trainings are owed what their last step took: half of it, so that the share is kept on average."""
        return self.share > 0 and self._owed_s > self._training_step_s / 2

    def _arrive(self, owner: str) -> None:
        """Start an owner's clock: time in which they asked for nothing is no waiting."""
        self._served_s[owner] = max(0.0, self._served_s[owner])
        self._last_turn_s[owner] = self.clock()

    def _attained_s(self, owner: str, now_s: float) -> float:
        """How long an owner was served, less for who has waited since."""
        return self._served_s[owner] - AGING * (now_s - self._last_turn_s.get(owner, now_s))

    def _count(self, turn: list[Run], rows: list[int], took_s: float) -> None:
        """Note who was served, by rows, and what trainings are owed for it."""
        if turn[0].is_training:
            self._training_step_s = took_s
            self._owed_s = max(0.0, self._owed_s - took_s) if not self._drawings else self._owed_s - took_s
            return
        if self._trainings:
            self._owed_s += took_s * self.share / (1 - self.share)
        now_s = self.clock()
        for run, its in zip(turn, rows, strict=True):
            self._served_s[run.owner] = self._attained_s(run.owner, now_s) + took_s * its / sum(rows)
            self._last_turn_s[run.owner] = now_s

    def _remove(self, run: Run) -> None:
        (self._trainings if run.is_training else self._drawings).remove(run)
        if not self._drawings:
            self._served_s.clear()
            self._last_turn_s.clear()
        if not (self._drawings and self._trainings):
            self._owed_s = 0.0


def _batch(runs: Iterable[Run], may_lengthen: Callable[[Run], bool] = lambda run: True) -> list[Run]:
    """The first of several runs, and those that fit into its forward pass, in the same order."""
    first, *others = runs
    batch, rows, rows_max = [first], first.rows, first.rows_max
    for run in others if first.batch_key is not None else ():
        if run.batch_key != first.batch_key or rows + run.rows > rows_max:
            continue
        if may_lengthen(run) or first.times_longer(rows + run.rows) <= LONGER:
            batch.append(run)
            rows += run.rows
    return batch
