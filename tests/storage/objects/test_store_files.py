"""Files on their way into a store and out of it: whole or not at all, and how far they are."""

import asyncio
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import background_tasks
from storage.errors import Damaged, Missing, StoreError
from storage.objects.folder import FolderStore
from storage.objects.s3 import S3Store
from storage.objects.store import Store
from tests.support.stores import child

pytest_plugins = ["tests.support.stores"]

UPLOAD = """
import asyncio, pathlib, sys
from tests.servers.backing import opened
async def main():
    await (await opened(sys.argv[1])).put_file("half/big", pathlib.Path(sys.argv[2]))
asyncio.run(main())
"""


async def test_large_files_travel_whole(store: Store, store_url: str, tmp_path: Path) -> None:
    big, back = tmp_path / "big", tmp_path / "back" / "big"
    big.write_bytes(os.urandom(20 * 2**20))
    await store.put_file("weights/big", big)
    await store.get_file("weights/big", back)
    assert back.read_bytes() == big.read_bytes()
    assert os.listdir(back.parent) == ["big"]
    tag = (await store.get("weights/big")).tag
    assert tag.endswith('-3"') or not store_url.startswith("s3"), "three parts of eight megabytes"


async def test_a_file_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"No such file or directory.*gone|gone failed: No such file"):
        await store.put_file("a", tmp_path / "gone")
    assert await store.names("") == []


async def test_a_killed_writer_leaves_no_half_object(store: Store, store_url: str, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as handle:
        handle.truncate(256 * 2**20)
    writer = child(UPLOAD, store_url, str(big))
    under_way = _parts_of_folder(store_url) if isinstance(store, FolderStore) else _parts_of_bucket(store)
    try:
        until_s = time.monotonic() + 60
        while not under_way():
            assert time.monotonic() < until_s
            await asyncio.sleep(0.005)
    finally:
        writer.kill()
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    assert await store.names("") == []
    assert not await store.exists("half/big")
    with pytest.raises(Missing):
        await store.get("half/big")
    await store.delete_prefix("half/")
    assert [path.name for path in (tmp_path / "store").rglob("*")] in ([], [".lock"])


def _parts_of_folder(url: str) -> Callable[[], bool]:
    return lambda: any(path.stat().st_size for path in Path(url, "half").glob(".part-*"))


def _parts_of_bucket(store: S3Store) -> Callable[[], bool]:
    def begun() -> bool:
        uploads = store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
        return any(upload["Key"].endswith("half/big") for upload in uploads)

    return begun


async def test_an_upload_that_is_cancelled_leaves_nothing(store: Store, tmp_path: Path) -> None:
    big = tmp_path / "big"
    for size_bytes in (2**20, 64 * 2**20):
        with big.open("wb") as handle:
            handle.truncate(size_bytes)
        began = threading.Event()
        upload = asyncio.create_task(store.put_file("a/b", big, lambda _, began=began: began.set()))
        await asyncio.to_thread(began.wait, 20)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        await until_quiet(store)
        assert await store.names("") == []
        assert not isinstance(store, S3Store) or not _parts_of_bucket(store)()


async def until_quiet(store: Store) -> None:
    async with asyncio.timeout(120):
        while background_tasks.TASKS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_how_far_a_file_is_is_told(store: Store, tmp_path: Path) -> None:
    big, shares = tmp_path / "big", [[], []]
    big.write_bytes(os.urandom(20 * 2**20))
    await store.put_file("a/b", big, shares[0].append)
    await store.get_file("a/b", tmp_path / "back", on_progress=shares[1].append)
    for told in shares:
        assert len(told) > 2 and told[-1] == 1 and all(0 <= share <= 1 for share in told)


async def test_a_download_that_is_not_what_was_written_is_refused(store: Store, tmp_path: Path) -> None:
    await store.put("a/b", b"something else")
    with pytest.raises(Damaged, match="'a/b' is damaged"):
        await store.get_file("a/b", tmp_path / "back", sha256=hashlib.sha256(b"what was meant").hexdigest())
    assert not list(tmp_path.glob("*back*"))
    await store.get_file("a/b", tmp_path / "back", sha256=hashlib.sha256(b"something else").hexdigest())
