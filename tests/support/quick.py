"""Less of the same in `make test`, more of it in `make test-all`, all in `make exhaustive`: parameters and examples."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings

T = TypeVar("T")
FULL_EXAMPLES = 100  # of Hypothesis' own profile; that of `make test` has fewer: tests/conftest.py


def slow_but(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Values of one parameter, all marked slow but for the `quick` ones."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]


def pairs_slow_but(values: Iterable[tuple[Any, ...]], *quick: tuple[Any, ...]) -> list[Any]:
    """The same of several parameters at once."""
    return [value if value in quick else pytest.param(*value, marks=pytest.mark.slow) for value in values]


def some_of(values: Sequence[T], count: int) -> Sequence[T]:
    """All of these values in `make exhaustive`, and so many of them, spread evenly, otherwise."""
    return values if examples(FULL_EXAMPLES) == FULL_EXAMPLES else values[:: len(values) // count]


def examples(count: int) -> int:
    """So many examples in `make exhaustive`, and a share of them otherwise."""
    return max(1, count * settings.default.max_examples // FULL_EXAMPLES)
