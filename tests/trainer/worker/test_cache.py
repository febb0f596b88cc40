"""What a worker keeps on its disk makes room where that is short, and never what is in use."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from storage.objects.folder import FolderStore
from trainer.worker.cache import Cache
from trainer.worker.scratch import lock

KEYS = [f"classes/{name}/latents.safetensors" for name in "abc"]
ALL_BYTES = 2**62


@pytest.fixture
async def store(tmp_path: Path) -> FolderStore:
    found = FolderStore(tmp_path / "store")
    for key in KEYS:
        await found.put(key, bytes(2**20))
    return found


def kept(cache: Cache) -> list[str]:
    return sorted(path.relative_to(cache.folder).as_posix() for path in cache.folder.rglob("*") if path.is_file())


async def test_what_is_in_use_stays_and_all_else_makes_room(store: FolderStore, tmp_path: Path) -> None:
    short, roomy = Cache(store, tmp_path / "cache", ALL_BYTES), Cache(store, tmp_path / "cache")
    with ExitStack() as hold:
        for key in KEYS:
            await short.path(key, hold=hold if key == KEYS[1] else None)
        roomy.make_room()
        assert kept(roomy) == KEYS
        short.make_room()
        assert kept(short) == [KEYS[1]]
        await short.path(KEYS[0])
    short.make_room()
    assert kept(short) == []
    assert (await short.path(KEYS[0])).exists(), "it is fetched again"


async def test_what_was_used_least_recently_goes_first(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(store, tmp_path / "cache", 100)
    for age_s, key in enumerate(KEYS):
        os.utime(await cache.path(key), (10**9 - age_s, 10**9 - age_s))
    await cache.path(KEYS[2])  # the oldest of all is used once more
    usage = shutil.disk_usage(tmp_path)
    free_bytes = iter([0, 200])  # short at first, and not any more when one is gone
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free_bytes)))
    cache.make_room()
    assert kept(cache) == [KEYS[0], KEYS[2]]


async def test_what_a_killed_worker_had_fetched_in_part_goes(store: FolderStore, tmp_path: Path) -> None:
    cache = Cache(store, tmp_path / "cache")
    parts = []
    for key in KEYS[:2]:
        parts.append((await cache.path(key)).parent / ".part-x")
        parts[-1].write_bytes(b"half")
    used = lock(parts[1].parent)  # another worker is at it
    assert used
    cache.drop_parts()
    assert [part.exists() for part in parts] == [False, True]
    os.close(used)
