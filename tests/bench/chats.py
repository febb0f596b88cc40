"""What the benches of the chats share: how often they measure, and how figures are made of it."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import psutil

from tests.support.manual_worker import Hand

STARTS = 3
COMMANDS, PER_S = 400, 20
INTERACTIONS = 10_000
FOLLOWED_S, NEWS_EVERY_S = 60, 0.5

Figures = dict[str, float]
Place = Callable[[], AbstractAsyncContextManager[Any]]  # a chat with a deployment, without workers


async def starting(place: Place) -> Figures:
    """From the start of the process to serving."""
    times_s = []
    for _ in range(STARTS):
        async with place() as here:
            began_s = time.monotonic()
            async with here.process():
                times_s.append(time.monotonic() - began_s)
    return {"start to ready (s)": round(statistics.median(times_s), 2)}


def acknowledged(took_s: Sequence[float]) -> Figures:
    """How long people waited for the first sign."""
    took_ms = sorted(1000 * s for s in took_s)
    return {
        "acknowledged, p50 (ms)": round(statistics.median(took_ms), 1),
        "acknowledged, p99 (ms)": round(took_ms[len(took_ms) * 99 // 100], 1),
        "acknowledged, slowest (ms)": round(took_ms[-1], 1),
    }


async def edited(hand: Hand, job: str, edits: Callable[[], int]) -> Figures:
    """How often the message of a training that has news all the time is edited."""
    before = edits()
    for step in range(int(FOLLOWED_S / NEWS_EVERY_S)):
        await hand.progress(job, "learning", step, 400)
        await asyncio.sleep(NEWS_EVERY_S)
    return {"edits of a job's message in a minute": 60 / FOLLOWED_S * (edits() - before)}


def megabytes(process: psutil.Process) -> float:
    """What a process holds of the memory."""
    return round(process.memory_info().rss / 2**20, 1)


async def measure(*measures: Callable[[], Awaitable[Figures]]) -> None:
    """Take all figures, one after another, and print them."""
    figures: Figures = {}
    for take in measures:
        figures |= await take()
    print(json.dumps(figures, indent=1))  # noqa: T201
