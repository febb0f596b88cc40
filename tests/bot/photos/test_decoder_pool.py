"""Photos are decoded in a process that may be killed: what it may take, what it may know, and whose turn it is."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bot.photos.decoder_pool import DecodePool
from bot.photos.errors import PhotoError
from bot.photos.fair_slots import FairSlots
from bot.photos.in_flight import InFlight
from bot.photos.limits import PhotoLimits
from bot.photos.uploads import Upload
from bot.photos.vetting import vet
from storage.errors import UserError
from storage.settings.bot import BotSettings
from tests.support.photo_files import saved, scene
from tests.support.quick import slow_but
from tests.support.slow_photos import KINDS, many_chunks, many_scans, packed_png, slow_photos

pytestmark = pytest.mark.timeout(300)
QUICK = PhotoLimits(64_000_000, 64, 128, cpu_s=1, wall_s=8, memory_bytes=2**31)
GOOD = saved(scene(), "JPEG")


@pytest.fixture
def children_before() -> set[psutil.Process]:
    """What this process had started before the pool."""
    return set(psutil.Process().children())


@pytest.fixture
async def pool(children_before: set[psutil.Process]) -> AsyncIterator[DecodePool]:
    pool = DecodePool(QUICK)
    with pool.lent(await pool.take()):
        pass  # its process has started
    try:
        yield pool
    finally:
        await pool.close()


def slow() -> bytes:
    """Few bytes that take some twenty seconds of CPU time."""
    return many_scans(85, 7900)


def children_of(process: psutil.Process) -> list[psutil.Process]:
    ceiling_s = time.monotonic() + 120
    while not (children := process.children(recursive=True)):
        assert time.monotonic() < ceiling_s
        time.sleep(0.02)
    return children


async def refusal(pool: DecodePool, data: bytes, person: str = "mallory") -> str:
    with pytest.raises(PhotoError) as caught:
        await pool.read(person, data)
    return str(caught.value)


async def test_a_photo_that_takes_too_long_is_given_up_and_the_others_go_on(pool: DecodePool) -> None:
    uploads = [Upload(name=f"{k}.jpg", data=data) for k, data in enumerate((GOOD, slow(), saved(scene(seed=2))))]
    vetting = await vet(uploads, lambda data: pool.read("ada", data), 2**25)
    assert [photo.name for photo in vetting.accepted] == ["0.jpg", "2.jpg"]
    assert vetting.summary == "2 of 3 photos used; 1.jpg takes too long to read."


async def test_wall_clock_counts_where_no_cpu_time_is_used() -> None:
    pool = DecodePool(QUICK._replace(wall_s=0.5, cpu_s=30))
    assert await refusal(pool, slow()) == "takes too long to read"
    assert (await pool.read("ada", GOOD)).side_px == 96
    await pool.close()


async def test_a_photo_that_nobody_waits_for_any_more_leaves_no_process(children_before: set[psutil.Process]) -> None:
    pool = DecodePool(QUICK)
    reading = asyncio.create_task(pool.read("ada", slow()))
    while not (started := set(psutil.Process().children()) - children_before):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait({reading})
    await pool.close()
    assert not any(process.is_running() for process in started)
    del pool, reading
    gc.collect()  # what is left open is told of now, as an error


async def test_memory_is_limited() -> None:
    tight = DecodePool(QUICK._replace(memory_bytes=2**26))
    assert await refusal(tight, packed_png(7900)) == "takes too much memory to read"
    assert (await tight.read("ada", GOOD)).side_px == 96
    await tight.close()


async def test_the_process_knows_no_secret(
    children_before: set[psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    other = DecodePool(QUICK)
    await other.read("ada", GOOD)
    (process,) = set(psutil.Process().children()) - children_before
    assert "hunter2" not in str(process.environ())
    assert not {"DISCORD_TOKEN", "AWS_SECRET_ACCESS_KEY", "REDIS_URL", "HOME"} & set(process.environ())
    await other.close()


@pytest.mark.parametrize("kind", slow_but(KINDS, next(iter(KINDS))))
async def test_no_slow_photo_holds_a_process_longer_than_its_limit(kind: str, pool: DecodePool) -> None:
    photos = dict(slow_photos(len(KINDS), seed=3))
    began_s = time.monotonic()
    with suppress(PhotoError):
        await pool.read("mallory", photos[kind])
    # Its limit is of CPU time; on a busy machine that takes longer.
    assert time.monotonic() - began_s < QUICK.wall_s + 15
    assert (await pool.read("ada", GOOD)).side_px == 96


async def test_many_scans_and_chunks_are_told_for_what_they_are(pool: DecodePool) -> None:
    assert (await refusal(pool, many_scans(300))).startswith("is written in more than 100 scans")
    assert (await refusal(pool, many_chunks(100_000))).startswith("is made of more than")


async def test_who_floods_does_not_make_others_wait_until_the_flood_is_over(pool: DecodePool) -> None:
    flood = [asyncio.create_task(pool.read("mallory", slow())) for _ in range(60)]  # a second of CPU time each
    for k in range(4):
        await asyncio.sleep(0.3)
        await pool.read(f"ada {k}", GOOD)
    assert not all(task.done() for task in flood)
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_a_cancelled_photo_ends_its_process(pool: DecodePool, children_before: set[psutil.Process]) -> None:
    reading = asyncio.create_task(pool.read("ada", slow()))
    (server,) = set(psutil.Process().children()) - children_before
    children = await asyncio.to_thread(children_of, server)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    _, alive = await asyncio.to_thread(psutil.wait_procs, [server, *children], 60)
    assert not alive


async def test_a_process_that_dies_is_replaced(pool: DecodePool, children_before: set[psutil.Process]) -> None:
    (server,) = set(psutil.Process().children()) - children_before
    server.kill()
    await asyncio.to_thread(server.wait, 60)
    await asyncio.sleep(0.2)
    assert (await pool.read("ada", GOOD)).side_px == 96


PROGRAM = """
import asyncio, sys
from bot.photos.limits import PhotoLimits
from bot.photos.decoder_pool import DecodePool
from bot.local.children import until_stopped
from tests.support.slow_photos import many_scans
async def main():
    pool = DecodePool(PhotoLimits(64_000_000, 64, 128, memory_bytes=2**31))
    with pool.lent(await pool.take()):
        print("ready", flush=True)
    try:
        await pool.read("ada", many_scans(85, 7900))
    finally:
        await pool.close()
asyncio.run(until_stopped(main()))
"""


@pytest.mark.parametrize("number", slow_but([signal.SIGTERM, signal.SIGINT, signal.SIGKILL], signal.SIGTERM))
def test_the_bot_ends_at_once_while_it_decodes_and_nothing_is_left(number: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    bot = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert bot.stdout and bot.stdout.readline() == b"ready\n"
    process = psutil.Process(bot.pid)
    ceiling_s = time.monotonic() + 120
    while not (children := process.children(recursive=True))[1:]:
        assert time.monotonic() < ceiling_s
        time.sleep(0.05)
    began_s = time.monotonic()
    bot.send_signal(number)
    bot.wait(120)
    bot.stdout.close()
    assert time.monotonic() - began_s < 15  # at once on a quiet machine
    _, alive = psutil.wait_procs(children, 60)
    assert not alive


# ---- turns


async def test_turns_go_to_who_used_least() -> None:
    slots, order = FairSlots(1, each=1), []

    async def use(person: str, for_s: float) -> None:
        async with slots.turn(person):
            order.append(person)
            await asyncio.sleep(for_s)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(use("mallory", 0.1))
        await asyncio.sleep(0.01)
        tasks.create_task(use("ada", 0.01))
        tasks.create_task(use("bob", 0.01))
    assert order == ["mallory", "ada", "bob", "mallory", "mallory"]


async def test_a_turn_given_up_leaves_nothing() -> None:
    slots = FairSlots(1, each=1)

    async def use() -> None:
        async with slots.turn("ada"):
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(use()) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert tasks[2].done() and not tasks[2].cancelled()
    assert not slots._waiting and not slots._running


# ---- on the way


def test_one_persons_photos_on_the_way_are_bounded() -> None:
    settings = BotSettings(_env_file=None, DARKROOM_PHOTOS_MAX="3", DARKROOM_PHOTOS_MAX_BYTES="10000")
    in_flight = InFlight(settings)
    with in_flight.share("mallory") as first, in_flight.share("ada") as other:
        first.take(3, 6000)
        other.take(3, 6000)
        with in_flight.share("mallory") as second:
            with pytest.raises(UserError, match="still being looked at"):
                second.take(1, 6000)
            second.take(3, 10)
            with pytest.raises(UserError, match="still being looked at"):
                second.take(1, 0)
            with pytest.raises(UserError, match="together"):
                second.take(1, 20_000)
    with in_flight.share("mallory") as again:
        again.take(6, 10_000)


def test_packed_pixels_are_no_more_than_they_say() -> None:
    assert len(packed_png(3000)) < 2**20
