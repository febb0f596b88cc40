"""Somebody floods slow photos: how long each holds its process, and how long another person waits for a good one.

    python -m tests.bench.slow_photos --count 500 --cpu 2

Prints a line for each kind, and the waits. Everything happens in the pool that the bot uses.
"""

import argparse
import asyncio
import time
from collections import defaultdict

from bot.photos.decoder_pool import DecodePool
from bot.photos.errors import PhotoError
from bot.photos.limits import CPU_S, PhotoLimits
from tests.support.photo_files import saved, scene
from tests.support.slow_photos import slow_photos

ASKED_EVERY_S = 0.5


async def flood(pool: DecodePool, count: int) -> dict[str, list[tuple[float, str]]]:
    """Have slow photos read; what each took, and what was said, by kind."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    photos = slow_photos(count)
    while made := await asyncio.to_thread(next, photos, None):  # making them is not to hold up who is measured
        (kind, data), began_s, said = made, time.monotonic(), "used"
        try:
            await pool.read("mallory", data)
        except PhotoError as error:
            said = str(error)
        found[kind].append((time.monotonic() - began_s, said))
    return found


async def waits(pool: DecodePool, until: "asyncio.Task[object]") -> list[float]:
    """Ask for a good photo again and again; how long each took."""
    good, found = saved(scene(1200, 900), "JPEG"), []
    while not until.done():
        began_s = time.monotonic()
        await pool.read("ada", good)
        found.append(time.monotonic() - began_s)
        await asyncio.sleep(ASKED_EVERY_S)
    return sorted(found)


async def measure(count: int, cpu_s: int) -> None:
    """Print the figures."""
    pool = DecodePool(PhotoLimits(64_000_000, 64, 1024, cpu_s=cpu_s, memory_bytes=2**31))
    await pool.read("ada", saved(scene(), "PNG"))
    flooding = asyncio.create_task(flood(pool, count))
    others = await waits(pool, flooding)
    for kind, took in (await flooding).items():
        said = max((words for _, words in took), key=[words for _, words in took].count)
        print(f"{kind:16} {len(took):3}  longest {max(s for s, _ in took):6.2f} s  {said}")  # noqa: T201
    middle, high = others[len(others) // 2], others[int(0.99 * len(others))]
    print(f"others: {len(others)} photos, median {middle:.2f} s, p99 {high:.2f} s, longest {others[-1]:.2f} s")  # noqa: T201
    await pool.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--cpu", type=int, default=CPU_S, help="seconds of CPU time that a photo may take")
    given = parser.parse_args()
    asyncio.run(measure(given.count, given.cpu))
