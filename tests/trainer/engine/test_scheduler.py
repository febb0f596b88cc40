"""Whose turn it is: pictures between the steps of trainings, trainings in turn, each run to its own end."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.engine.run import Run
from trainer.engine.scheduler import Scheduler
from trainer.protocol import ImagineTask, SubjectTask, Task, TaskResult, TrainTask
from trainer.steps import Steps, reporting, run_to_end, with_progress


def training(job: str) -> TrainTask:
    subjects = (SubjectTask(subject="s", noun="dog", photos=(), class_set="c"),)
    return TrainTask(job=job, folder="f", subjects=subjects, taken=(), recipe={}, seed=0, checkpoint_s=60)


def picture(job: str) -> ImagineTask:
    """The owner is what stands before a colon, else the job's own."""
    how: dict[str, Any] = {"steps": 1, "guidance": 1.0, "negative": "", "scheduler": "ddim", "vary_seed": None}
    return ImagineTask(
        job=job, folder="f", owner=job.partition(":")[0], prompt="", weights=None, seeds=(1,), facts={}, **how
    )


class Clock:
    """A clock that steps move."""

    def __init__(self, training_s: float = 1.0, picture_s: float = 1.0) -> None:
        self.now_s, self.step_s = 0.0, {"t": training_s, "p": picture_s}

    def __call__(self) -> float:
        return self.now_s


class Steady(Run):
    """Takes a number of steps, each of which is noted; then it is done, or fails."""

    def __init__(
        self, task: Task, count: int, taken: list[str], fails: bool = False, clock: "Clock | None" = None
    ) -> None:
        super().__init__(task)
        self.count, self.taken, self.fails, self.put_away = count, taken, fails, 0
        self.clock = clock or Clock()

    def steps(self) -> Steps[TaskResult]:
        try:
            for step in range(1, self.count + 1):
                self.taken.append(self.task.job)
                self.clock.now_s += self.clock.step_s["t" if self.is_training else "p"]
                if step < self.count:
                    yield step, self.count
            if self.fails:
                raise RuntimeError("broken")
            return TaskResult(job=self.task.job, state="done")
        finally:
            self.put_away += 1


class Rows(Steady):
    """One that takes its steps together with others like it."""

    batch_key = "rows"  # type: ignore[assignment]
    rows_max = 3  # type: ignore[assignment]

    def step_with(self, others: Any) -> None:
        if others:
            self.taken.append("+".join(run.task.job for run in (self, *others)))
        super().step_with(others)


class Sixteen(Rows):
    """One of sixteen pictures, whose passes take as long as that many, and so do those that it shares."""

    rows = 16  # type: ignore[assignment]
    rows_max = 32  # type: ignore[assignment]

    def step(self) -> None:
        self.clock.now_s += 15
        super().step()


class One(Rows):
    """One of a single picture, whose passes are sixteen times as long with those sixteen."""

    rows_max = 32  # type: ignore[assignment]
    longer = 16.0

    def times_longer(self, rows: int) -> float:
        return self.longer if rows > 1 else 1.0


class Quick(One):
    """The same where a pass takes hardly longer with them."""

    longer = 1.1


class Large(Steady):
    """One that has room beside no other of its kind."""

    under_way: "Large | None" = None

    @property
    def needs_room(self) -> bool:
        return self.state == "waiting"

    @property
    def has_room(self) -> bool:
        return Large.under_way is None

    def steps(self) -> Steps[TaskResult]:
        assert Large.under_way is None
        Large.under_way = self
        try:
            return (yield from super().steps())
        finally:
            Large.under_way = None


@pytest.fixture
def taken() -> list[str]:
    return []


@pytest.fixture
def make(taken: list[str]) -> Callable[..., Steady]:
    def make(
        job: str, count: int, kind: type[Steady] = Steady, fails: bool = False, clock: Clock | None = None
    ) -> Steady:
        return kind(training(job) if job[0] == "t" else picture(job), count, taken, fails, clock)

    return make


Make = Callable[..., Steady]


def rest(scheduler: Scheduler) -> Iterator[Run]:
    """Go on until nothing is left; yield runs as they end."""
    while turn := scheduler.step():
        yield from (run for run in turn if run.ended)


def test_what_has_no_room_waits_and_holds_up_nobody_else(make: Make, taken: list[str]) -> None:
    clock = Clock()
    scheduler = Scheduler(clock=clock)
    for job, count, kind in (("p1", 3, Large), ("p2", 2, Large), ("p3", 1, Large), ("p4", 2, Steady)):
        scheduler.add(make(job, count, kind, clock=clock))
    assert [run.task.job for run in rest(scheduler)] == ["p4", "p1", "p2", "p3"]
    assert taken.index("p4") == 1


def test_pictures_of_one_owner_are_drawn_one_after_another(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler()
    for run in (make("ada:p1", 2), make("ada:p2", 2)):
        scheduler.add(run)
    assert [run.task.job for run in rest(scheduler)] == ["ada:p1", "ada:p2"]
    assert taken == ["ada:p1", "ada:p1", "ada:p2", "ada:p2"]


def test_one_picture_does_not_wait_behind_somebody_elses_sixteen(make: Make, taken: list[str]) -> None:
    clock = Clock()
    scheduler = Scheduler(clock=clock)
    for number in range(16):
        scheduler.add(make(f"ada:{number}", 20, clock=clock))
    for _ in range(40):
        scheduler.step()
    scheduler.add(make("bob:1", 20, clock=clock))
    for _ in range(21):
        scheduler.step()
    assert taken[40:61].count("bob:1") >= 20


@pytest.mark.parametrize(("kind", "shared"), [(One, 0), (Quick, 20)])
def test_rows_of_who_was_served_more_join_a_pass_only_where_they_hardly_lengthen_it(
    make: Make, taken: list[str], kind: type[Rows], shared: int
) -> None:
    clock = Clock()
    scheduler = Scheduler(clock=clock)
    scheduler.add(make("ada:16", 40, Sixteen, clock=clock))
    for _ in range(6):
        scheduler.step()
    scheduler.add(make("bob:1", 20, kind, clock=clock))
    ended = [run.task.job for run in rest(scheduler)]
    assert ended == ["bob:1", "ada:16"]
    assert taken.count("ada:16+bob:1") == shared
    if not shared:
        assert taken[6:26] == ["bob:1"] * 20


def test_who_was_served_alike_shares_passes_however_long_they_take(make: Make, taken: list[str]) -> None:
    clock = Clock(picture_s=0.01)
    scheduler = Scheduler(clock=clock)
    for owner in ("ada", "bob", "cay"):
        scheduler.add(make(f"{owner}:1", 20, One, clock=clock))
    list(rest(scheduler))
    assert taken.count("ada:1+bob:1+cay:1") == 20


def test_a_stream_of_others_with_one_picture_each_does_not_starve_anybody(make: Make, taken: list[str]) -> None:
    clock = Clock()
    scheduler = Scheduler(clock=clock)
    scheduler.add(make("ada:1", 100, clock=clock))
    for _ in range(50):
        scheduler.step()
    for number in range(1000):
        scheduler.add(make(f"{number}:1", 1, clock=clock))
        scheduler.step()
    assert taken[50:].count("ada:1") > 10


def test_owners_with_many_pictures_each_are_served_alike(make: Make, taken: list[str]) -> None:
    clock = Clock()
    scheduler = Scheduler(clock=clock)
    for number in range(9):
        scheduler.add(make(f"ada:{number}", 20, clock=clock))
    for number in range(3):
        scheduler.add(make(f"bob:{number}", 20, clock=clock))
    for _ in range(60):
        scheduler.step()
    served = Counter(job.partition(":")[0] for job in taken)
    assert abs(served["ada"] - served["bob"]) <= 2


@pytest.mark.parametrize("training_s, picture_s", [(1.0, 1.0), (0.1, 1.0), (1.0, 0.1), (7.3, 0.9)])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_trainings_have_their_share_of_the_time_while_pictures_wait(
    make: Make, training_s: float, picture_s: float, share: float
) -> None:
    clock = Clock(training_s, picture_s)
    scheduler = Scheduler(share=share, clock=clock)
    scheduler.add(learning := make("t", 10**6, clock=clock))
    for number in range(5):
        scheduler.add(make(f"p{number}", 10**6, clock=clock))
    while clock.now_s < 1000:
        scheduler.step()
    assert learning.taken.count("t") * training_s / clock.now_s == pytest.approx(share, abs=0.05 * share + 0.01)


def test_a_training_has_all_of_the_time_while_no_picture_waits(make: Make, taken: list[str]) -> None:
    clock = Clock()
    scheduler = Scheduler(clock=clock)
    scheduler.add(make("t", 50, clock=clock))
    scheduler.add(make("p", 10, clock=clock))
    list(rest(scheduler))
    assert taken.index("p") == 0 and taken[-40:] == ["t"] * 40


def test_with_no_share_trainings_wait_until_no_picture_does(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler(share=0)
    scheduler.add(make("t", 5))
    scheduler.add(make("p", 30))
    list(rest(scheduler))
    assert taken == ["p"] * 30 + ["t"] * 5


def test_trainings_take_turns(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler()
    scheduler.add(make("t1", 3))
    scheduler.step()
    scheduler.add(make("t2", 2))
    assert [run.task.job for run in rest(scheduler)] == ["t2", "t1"] or taken == ["t1", "t1", "t2", "t1", "t2"]
    assert Counter(taken) == {"t1": 3, "t2": 2} and taken[:3] != ["t1", "t1", "t1"]


def test_engines_in_a_group_take_one_training_after_another(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler(one_training=True)
    for run in (make("t1", 2), make("t2", 2), make("p", 1)):
        scheduler.add(run)
    assert [run.task.job for run in rest(scheduler)] == ["p", "t1", "t2"]
    assert [job for job in taken if job != "p"] == ["t1", "t1", "t2", "t2"]


def test_one_that_fails_does_not_hurt_the_others(make: Make) -> None:
    scheduler = Scheduler()
    runs = [make("p1", 2, fails=True), make("p2", 2), make("t1", 3, fails=True), make("t2", 3)]
    for run in runs:
        scheduler.add(run)
    assert sorted(run.task.job for run in rest(scheduler)) == ["p1", "p2", "t1", "t2"]
    assert [run.state for run in runs] == ["failed", "done", "failed", "done"]
    assert [str(run.error) for run in runs if run.error] == ["broken"] * 2 and runs[1].result


def test_a_run_is_cancelled_before_and_in_the_middle_and_puts_away_what_it_has_in_hand(make: Make) -> None:
    scheduler = Scheduler()
    begun, waiting, beside = make("t1", 9), make("t2", 9), make("t3", 2)
    for run in (begun, waiting, beside):
        scheduler.add(run)
    scheduler.step()
    assert (begun.state, waiting.state) == ("running", "waiting")
    assert scheduler.cancel("t1") == [begun] and scheduler.cancel("t2") == [waiting] and scheduler.cancel("t9") == []
    assert (begun.state, begun.put_away, waiting.state, waiting.put_away) == ("cancelled", 1, "cancelled", 0)
    assert list(rest(scheduler)) == [beside]


def test_a_wish_to_stop_is_about_the_attempt_that_is_held(make: Make) -> None:
    scheduler = Scheduler()
    scheduler.add(make("p", 2))
    scheduler.cancel("p")
    scheduler.add(again := make("p", 2))
    assert list(rest(scheduler)) == [again] and again.state == "done"


def test_what_is_tried_again_comes_first(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler()
    scheduler.add(make("p1", 1))
    scheduler.add(make("p2", 1), first=True)
    list(rest(scheduler))
    assert taken == ["p2", "p1"]


def test_pictures_of_one_kind_may_be_drawn_together_also_those_that_come_late(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler()
    for run in (make("p1", 2, Rows), make("p2", 1), make("p3", 3, Rows)):
        scheduler.add(run)
    scheduler.step()
    scheduler.add(make("p4", 1, Rows))
    assert {run.task.job for run in rest(scheduler)} == {"p1", "p2", "p3", "p4"}
    together = [step for step in taken if "+" in step]
    assert together[0] == "p1+p3" and set(together[1].split("+")) == {"p1", "p3", "p4"}


def test_a_pass_holds_no_more_rows_than_it_may(make: Make, taken: list[str]) -> None:
    scheduler = Scheduler()
    for number in range(8):
        scheduler.add(make(f"p{number}", 3, Rows))
    list(rest(scheduler))
    assert max(step.count("+") + 1 for step in taken) == 3


arrivals = st.lists(
    st.tuples(
        st.sampled_from(["picture", "training", "rows"]),
        st.integers(1, 4),  # its steps
        st.booleans(),  # whether it fails
        st.integers(0, 3),  # turns before it comes
        st.none() | st.integers(0, 5),  # turns after which it is cancelled
    ),
    max_size=12,
)


@given(arrivals, st.booleans())
def test_every_run_ends_exactly_once_in_whatever_order_they_come(plan: list[Any], one_training: bool) -> None:
    scheduler, taken, ends, cancels = Scheduler(one_training), list[str](), Counter[str](), dict[str, int]()
    turns, runs = 0, dict[str, Steady]()

    def turn() -> bool:
        nonlocal turns
        turns += 1
        for job in [job for job, at in cancels.items() if at <= turns]:
            ends.update(run.task.job for run in scheduler.cancel(job))
            del cancels[job]
        stepped = scheduler.step()
        ends.update(run.task.job for run in stepped if run.ended)
        return bool(stepped)

    for number, (kind, count, fails, before, cancelled) in enumerate(plan):
        for _ in range(before):
            turn()
        job, made = f"{kind}-{number}", Rows if kind == "rows" else Steady
        runs[job] = made(training(job) if kind == "training" else picture(job), count, taken, fails)
        scheduler.add(runs[job])
        if cancelled is not None:
            cancels[job] = turns + cancelled
    while turn():
        pass
    assert ends == Counter(dict.fromkeys(runs, 1))
    for job, run in runs.items():
        assert run.ended and taken.count(job) <= run.count
        if run.state != "cancelled":
            assert (taken.count(job), run.state) == (run.count, "failed" if run.fails else "done")


def test_steps_that_are_left_are_closed_and_those_that_are_taken_return_what_they_return() -> None:
    closed, seen = list[str](), list[tuple[int, int]]()

    def steps() -> Steps[str]:
        try:
            yield 1, 2
            yield 2, 2
            return "all"
        finally:
            closed.append("closed")

    assert run_to_end(reporting(steps(), lambda *at: seen.append(at))) == "all" and seen == [(1, 2), (2, 2)]
    left = with_progress(steps(), lambda done, of: (10 * done, 10 * of))
    assert next(left) == (10, 20)
    left.close()
    assert closed == ["closed"] * 2


def test_the_scheduler_needs_no_torch() -> None:
    code = "import sys, trainer.engine.scheduler; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
