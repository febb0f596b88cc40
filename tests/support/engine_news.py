"""What an engine says in tests."""

from collections.abc import Iterable
from typing import Any

from trainer.protocol import TaskResult


def last_result(news: Iterable[Any]) -> Any:
    """The newest result of a task: other news may come after it."""
    return [each for each in news if isinstance(each, TaskResult)][-1]
