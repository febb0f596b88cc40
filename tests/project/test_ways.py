"""How many of our modules a request enters, and passes through, from the event to its effect.

`pytest -m slow -s tests/project/test_ways.py` prints them. `docs/design.md` lists those to read; `docs/benchmarks.md`
has the figures. The limits are those figures: a way that grows should be meant to.
"""

import sys

import pytest

from tests.servers.discord import Discord
from tests.servers.slack.people import images
from tests.support.discord_bot import drawing, options, photos
from tests.support.manual_worker import Hand
from tests.support.module_trace import ModuleTrace, module_trace
from tests.support.slack_bot import Scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def check(way: str, trace: ModuleTrace, most: int) -> None:
    passed = trace.passed_through
    lines = [f"{'  ' * (module not in trace.callers)}{module}" for module in trace.entered]
    head = f"{way}: {len(trace.entered)} entered, {len(passed)} passed through (those that are not are indented)"
    sys.stdout.write("\n  ".join([f"\n{head}", *lines]) + "\n")
    assert len(passed) <= most


async def test_photos_from_discord_to_the_stored_subject(discord: Discord, hand: Hand) -> None:
    with module_trace(until=("bot/core/dispatch.py", "accept")) as trace:
        await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos(2)))
        await discord.until(lambda: trace.is_over, within_s=200)
    check("photos on Discord → stored subject", trace, 35)


async def test_a_prompt_from_slack_to_the_posted_picture(scene: Scene) -> None:
    async with scene.bot():
        with module_trace() as trace:
            await scene.slack.slash("/imagine", "a dog in Paris")
            job = await scene.job()
            await scene.hand.draw(job)
            await scene.slack.message(lambda m: bool(images(m)))
    check("prompt on Slack → posted picture", trace, 43)


async def test_a_cancel(discord: Discord, hand: Hand) -> None:
    _, asked = await drawing(discord, hand)
    with module_trace(until=("storage/queue/job_progress.py", "announce_change")) as trace:
        await discord.press(asked.message, "Cancel")
        await discord.until(lambda: trace.is_over, within_s=200)
    check("cancel on Discord → outcome, and the worker's nudge", trace, 30)
