"""Which of our modules a request passes through, in order, told by a profiler in the event loop's thread."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot/", "storage/", "trainer/")
# What runs for no request: chores, leader election, the wait for events and for departures, the worker's upkeep.
BACKGROUND = {
    *("keep_newest_id", "keep_queued", "keep_tidy", "forever", "lost", "_listen", "until_refused"),
    *(
        "keep_looking",
        "keep_clean",
        "announce",
        "announce_base_model",
        "worker_status",
        "prepare",
        "_renew",
        "space_joined",
        "still_here",
    ),
}


@dataclass
class ModuleTrace:
    """Modules that were entered, in order of their first call, and those of them that called on into another one."""

    entered: dict[str, None] = field(default_factory=dict)
    callers: set[str] = field(default_factory=set)
    is_over: bool = False  # whether the effect that ends it has come

    @property
    def passed_through(self) -> list[str]:
        """Modules that hand the request on. The others are called, answer, and are left again."""
        return [module for module in self.entered if module in self.callers]

    def note(self, frame: FrameType) -> None:
        """Note a call of ours that is made for the request."""
        ours = [each for each in _stack(frame) if _name(each)]
        module, *above = map(_name, ours)
        if any(name.startswith("tests/") for name in above) or any(f.f_code.co_name in BACKGROUND for f in ours):
            return
        self.entered.setdefault(module)
        if caller := next((name for name in above if name != module), None):
            self.callers.add(caller)


def _stack(frame: FrameType) -> list[FrameType]:
    frames, each = [], frame
    while each:
        frames.append(each)
        each = each.f_back
    return frames


def _name(frame: FrameType) -> str:
    """The path of a frame's module in this repository; empty for libraries."""
    file = frame.f_code.co_filename
    name = file.removeprefix(f"{ROOT}/") if file.startswith(f"{ROOT}/") else ""
    return name if name.startswith((*PACKAGES, "tests/support", "tests/project", "tests/servers")) else ""


@contextmanager
def module_trace(until: tuple[str, str] = ("", "")) -> Iterator[ModuleTrace]:
    """Trace while the block runs, or until a function of a module was called: the effect that is waited for."""
    trace = ModuleTrace()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not (name := _name(frame)).startswith(PACKAGES):
            return
        trace.note(frame)
        if (name, frame.f_code.co_name) == until:
            trace.is_over = True
            sys.setprofile(None)

    sys.setprofile(profile)
    try:
        yield trace
    finally:
        sys.setprofile(None)
