"""Count what a deployment asks of Redis while nobody asks anything of it: `python -m tests.bench.idle [SECONDS]`.

One bot and one worker with its engine, of Toyworld. Every command that Valkey has executed counts, those within scripts
included; those that clients sent are counted as well. Prints JSON.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from redis.asyncio import Redis

from bot.app import Darkroom
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.conftest import start_worker, stop_worker
from tests.servers.backing import valkey

WARM_UP_S, COUNTED_S = 15.0, 60.0
OURS = ("config|resetstat", "info")  # of the count itself


async def commands_per_s(url: str, seconds: float) -> dict[str, float]:
    """Commands a second that Redis executes, by name, with those within scripts."""
    async with Redis.from_url(url) as redis:
        await redis.config_resetstat()
        await asyncio.sleep(seconds)
        stats = await redis.info("commandstats")
    calls = Counter({name.removeprefix("cmdstat_"): counts["calls"] for name, counts in stats.items()})
    return {name: round(count / seconds, 2) for name, count in calls.most_common() if name not in OURS}


async def measure(url: str, seconds: float = COUNTED_S, warm_up_s: float = WARM_UP_S) -> dict[str, float]:
    """Run a bot and a worker, and count."""
    app = await Darkroom.open(load_settings(BotSettings), url)
    worker = await asyncio.to_thread(start_worker, {})
    try:
        await asyncio.sleep(warm_up_s)
        counted = await commands_per_s(url, seconds)
    finally:
        stop_worker(worker)
        await app.close()
    return {"commands a second": round(sum(counted.values()), 2)} | counted


def main() -> None:
    """Start a queue, measure, print JSON."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else COUNTED_S
    with tempfile.TemporaryDirectory() as folder, valkey() as url:
        os.environ |= {"DARKROOM_HOME": str(Path(folder) / "home"), "REDIS_URL": url}
        print(json.dumps(asyncio.run(measure(url, seconds)), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
