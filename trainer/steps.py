"""Work in steps: generators that yield after each one, so that their caller decides what runs next, and when.

A step yields how much is done, of how much. No global state may be changed across a `yield`: other work runs meanwhile.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[tuple[int, int], None, T]


def run_to_end(steps: Steps[T]) -> T:
    """Take all steps at once; return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def with_progress(steps: Steps[T], progress: Callable[[int, int], tuple[int, int]]) -> Steps[T]:
    """The same steps, which yield what `progress` makes of theirs."""
    try:
        while True:
            yield progress(*next(steps))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


def reporting(steps: Steps[T], report: Callable[[int, int], None]) -> Steps[T]:
    """The same steps, each of which is reported when it is done."""

    def reported(done: int, of: int) -> tuple[int, int]:
        report(done, of)
        return done, of

    return with_progress(steps, reported)
