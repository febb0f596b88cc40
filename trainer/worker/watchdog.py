"""A watchdog for the engine: how long it may be silent, by what it does and how quick it has been at it."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from storage.contract.progress import Phase
from trainer.protocol import Heartbeat, ProgressReport, Task, TaskResult

MULTIPLE = 20  # of the usual silence between two messages
GAPS = 32  # reports of a phase whose silences are remembered
STEPPING: tuple[Phase, ...] = ("class images", "learning", "sampling", "drawing")  # which report step by step


@dataclass(frozen=True)
class SilenceLimits:
    """Seconds of silence after which an engine is taken for stuck."""

    step_s: float = 120.0  # in phases that go step by step; more where its steps take long
    loading_s: float = 1800.0  # while it loads, compiles or saves
    starting_s: float = 300.0  # while the process starts, which has a thread of its own for signs of life then


@dataclass
class _Pace:
    """How a task goes: its phase, and the silences in it."""

    compiles: bool
    phase: Phase | None = None  # None: the engine has said nothing of it yet
    before_s: float = 0.0  # the silence that ended with this phase: its first step, and perhaps what came before it
    gaps_s: deque[float] = field(default_factory=lambda: deque(maxlen=GAPS))  # the longest before each later report
    longest_s: float = 0.0  # since the last report

    def on_message(self, news: ProgressReport | Heartbeat, silent_s: float) -> None:
        """Note a message about the task after a silence. A slow step sends a heartbeat, and at once its report."""
        self.longest_s = max(self.longest_s, silent_s)
        if not isinstance(news, ProgressReport):
            return
        if news.phase != self.phase:
            self.phase, self.before_s = news.phase, self.longest_s
            self.gaps_s.clear()
        else:
            self.gaps_s.append(self.longest_s)
        self.longest_s = 0.0

    def limit_s(self, limits: SilenceLimits) -> float:
        """The silence that is allowed in this phase."""
        if self.phase not in STEPPING or self.compiles:  # the first step compiles, and says nothing before it is done
            return limits.loading_s
        if not self.gaps_s:
            return max(limits.step_s, min(MULTIPLE * self.before_s, limits.loading_s))
        # The median: one slow step, while another program runs, must not stretch the limit.
        return max(limits.step_s, MULTIPLE * median(self.gaps_s))


class Watchdog:
    """Watches one engine. An engine without a task may be silent."""

    def __init__(self, limits: SilenceLimits) -> None:
        self.limits = limits
        self.silent_s = 0.0
        self._paces: dict[str, _Pace] = {}  # by job

    def begin(self, task: Task) -> None:
        """Expect word of a task."""
        # An engine without a task has nothing to say, so its silence until now does not count.
        if not self._paces:
            self.silent_s = 0.0
        self._paces[task.job] = _Pace(task.compiles)

    def end(self, job: str) -> None:
        """Expect no more of a task."""
        self._paces.pop(job, None)

    def on_message(self, news: ProgressReport | TaskResult | Heartbeat) -> None:
        """Note a sign of life of the engine."""
        if isinstance(news, TaskResult):
            self.end(news.job)
        elif pace := self._paces.get(news.job):
            pace.on_message(news, self.silent_s)
        self.silent_s = 0.0

    def tick(self, elapsed_s: float) -> bool:
        """Count so much more silence; tell whether it is too much."""
        self.silent_s += elapsed_s
        return bool(self._paces) and self.silent_s > self.limit_s

    @property
    def limit_s(self) -> float:
        """The longest silence that any of the tasks under way allows."""
        under_way = [pace.limit_s(self.limits) for pace in self._paces.values() if pace.phase]
        return max(under_way, default=self.limits.loading_s)

    @property
    def doing(self) -> str:
        """What the engine was about, for the log."""
        return ", ".join(pace.phase or "waiting" for pace in self._paces.values())
