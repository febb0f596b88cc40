"""Tokens and cost of an answer, as its endpoints count them, or estimated where they do not."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from storage.contract.ask import Usage

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 4  # OpenAI's rule of thumb for English
MILLION = 1_000_000


class UsageCounter:
    """Adds up what the requests for one answer take; prices are for a million tokens."""

    def __init__(self, prompt_price: float | None = None, completion_price: float | None = None) -> None:
        self._prices = (prompt_price, completion_price)
        self.usage = Usage()

    def add(self, model: str, messages: Sequence[Mapping[Any, str]], written: Sequence[str], reported: Any) -> None:
        """Count one request: what its endpoint reported, or an estimate from its text."""
        prompt = _count(reported, "prompt_tokens")
        completion = _count(reported, "completion_tokens")
        is_estimated = prompt is None or completion is None
        if prompt is None:
            prompt = _estimate(message["content"] for message in messages)
        if completion is None:
            completion = _estimate(written)
        before = self.usage
        usage = Usage(
            model=model,
            requests=before.requests + 1,
            prompt_tokens=before.prompt_tokens + prompt,
            completion_tokens=before.completion_tokens + completion,
            is_estimated=before.is_estimated or is_estimated,
        )
        self.usage = usage.model_copy(update={"cost": self._cost(usage)})
        log.info("model %s: %s prompt tokens, %s completion tokens", model, prompt, completion)

    def _cost(self, usage: Usage) -> float | None:
        prompt_price, completion_price = self._prices
        if prompt_price is None and completion_price is None:
            return None
        cost = usage.prompt_tokens * (prompt_price or 0) + usage.completion_tokens * (completion_price or 0)
        return round(cost / MILLION, 8)


def _count(reported: Any, name: str) -> int | None:
    value = getattr(reported, name, None)
    return value if isinstance(value, int) and value >= 0 else None


def _estimate(texts: Any) -> int:
    return -(-sum(map(len, texts)) // CHARACTERS_PER_TOKEN)
