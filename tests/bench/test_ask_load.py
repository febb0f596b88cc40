"""Fifty questions at once, from the chat to their answers."""

import pytest

from tests.bench.ask_load import AT_ONCE, at_once, deployment


@pytest.mark.exhaustive
async def test_of_fifty_questions_at_once_none_is_lost_or_doubled() -> None:
    async with deployment() as here, here.place.process():
        figures = await at_once(here)
    counts = [figures[name] for name in ("messages", "different", "answered their question")]
    assert counts == [AT_ONCE] * 3, figures
