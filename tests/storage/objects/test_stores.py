"""One set of promises, kept by the folder and by S3 alike."""

import asyncio
import json
import os
import tempfile
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import Missing, StoreError
from storage.objects.folder import FolderStore
from storage.objects.s3 import S3Store
from storage.objects.store import NAME, Store
from tests.support.quick import examples
from tests.support.stores import child

pytest_plugins = ["tests.support.stores"]

RACE = """
import asyncio, json, sys
from tests.servers.backing import opened
async def main():
    store = await opened(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps([n for n in range(20) if await store.put_new(f"race/{n}", sys.argv[2].encode())]))
asyncio.run(main())
"""


async def test_what_is_put_can_be_read_replaced_and_deleted(store: Store) -> None:
    assert not await store.exists("a/b.json")
    await store.put("a/b.json", b"one")
    assert await store.exists("a/b.json")
    assert (await store.get("a/b.json")).data == b"one"
    await store.put("a/b.json", b"")
    assert (await store.get("a/b.json")).data == b""
    await store.delete("a/b.json")
    await store.delete("a/b.json")
    assert not await store.exists("a/b.json")
    assert await store.names("") == []


async def test_what_is_not_there_is_missing(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "copy"
    with pytest.raises(Missing, match="'a/b'"):
        await store.get("a/b")
    with pytest.raises(Missing, match="'a/b'"):
        await store.get_file("a/b", target)
    assert not [path for path in target.parent.rglob("*") if path.is_file()]
    assert not await store.replace("a/b", b"new", '"00000000000000000000000000000000"')
    assert await store.names("a/") == []
    assert await store.delete_prefix("a/") == []


async def test_conditional_writes(store: Store) -> None:
    assert await store.put_new("x", b"1")
    assert not await store.put_new("x", b"2")
    data, tag = await store.get("x")
    assert data == b"1"
    assert await store.replace("x", b"3", tag)
    assert not await store.replace("x", b"4", tag)
    data, tag = await store.get("x")
    assert data == b"3"
    await store.put("x", b"5")
    assert not await store.replace("x", b"6", tag)
    tag = (await store.get("x")).tag
    await store.delete("x")
    assert not await store.replace("x", b"7", tag)
    assert await store.put_new("x", b"8")


async def test_of_many_who_write_a_new_object_one_wins(store: Store) -> None:
    for round_ in range(3):
        bodies = [f"{n}".encode() for n in range(12)]
        won = await asyncio.gather(*(store.put_new(f"race/{round_}", body) for body in bodies))
        assert won.count(True) == 1
        assert (await store.get(f"race/{round_}")).data == bodies[won.index(True)]


@pytest.mark.slow
def test_of_many_processes_that_write_a_new_object_one_wins(store_url: str) -> None:
    racers = [child(RACE, store_url, f"racer {n}") for n in range(3)]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [n for racer in racers for n in json.loads(racer.communicate()[0])]
    assert sorted(won) == list(range(20))


async def test_concurrent_replacements_lose_nothing(store: Store) -> None:
    await store.put("count", b"0")

    async def add_one() -> None:
        while True:
            data, tag = await store.get("count")
            if await store.replace("count", b"%d" % (int(data) + 1), tag):
                return

    await asyncio.gather(*(add_one() for _ in range(8)))
    assert (await store.get("count")).data == b"8"


async def test_writing_and_deleting_side_by_side(store: Store) -> None:
    """Deleting the last object of a folder takes the folder away, under the feet of who writes there."""

    async def come_and_go(n: int) -> None:
        for _ in range(5):
            await store.put(f"deep/down/{n}", b"x")
            await store.delete(f"deep/down/{n}")

    await asyncio.gather(*(come_and_go(n) for n in range(8)))
    assert await store.names("") == []


async def test_names_are_sorted_and_begin_exactly_with_the_prefix(store: Store) -> None:
    keys = [
        "jobs/1/a",
        "jobs/1/b.json",
        "jobs/10/a",
        "jobs/2/a",
        "job",
        "jobs-old/a",
        *(f"many/{n}" for n in range(25)),
    ]
    for key in keys:
        await store.put(key, b"x")
    assert await store.names("") == sorted(keys)
    assert await store.names("jobs/1") == ["jobs/1/a", "jobs/1/b.json", "jobs/10/a"]
    assert await store.names("jobs/1/") == ["jobs/1/a", "jobs/1/b.json"]
    assert await store.names("jobs/1/b.json") == ["jobs/1/b.json"]
    assert await store.names("jobs/3") == await store.names("jobs/1/a/") == []
    assert len(await store.names("many/")) == 25  # more than the server lists at once


async def test_a_listing_comes_in_pages(store: Store) -> None:
    keys = ["a-b/x", "a.b", "a/1", "a/1-2/x", "a/2/x/y", "a/2/z", *(f"a/3/{n:02d}" for n in range(25)), "b"]
    for key in keys:
        await store.put(key, b"x")
    below = sorted(key for key in keys if key.startswith("a/"))
    assert await store.names("") == sorted(keys)
    assert [await store.names("a/", after=key, most=1) for key in below] == [[key] for key in below[1:]] + [[]]
    assert await store.names("a/", after="a/2/x", most=2) == ["a/2/x/y", "a/2/z"]
    assert await store.names("a/", after="a", most=30) == below[:30] and await store.names("a/", after="b") == []
    assert [name async for page in store.pages("a/", page=7) for name in page] == below
    await store.put("a/4", b"")
    assert await store.names("a/", filled=True, after="a/3/23", most=5) == ["a/3/24"]


async def test_a_prefix_is_deleted_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("storage.objects.s3.DELETE_MAX", 10)
    below = sorted(f"subjects/1/{n}" for n in range(25))
    for key in [*below, "subjects/10/x", "subjects/2/x"]:
        await store.put(key, b"x")
    assert await store.delete_prefix("subjects/1/") == below
    assert await store.names("subjects/") == ["subjects/10/x", "subjects/2/x"]
    assert await store.delete_prefix("subjects/") == ["subjects/10/x", "subjects/2/x"]
    assert [path.name for path in (tmp_path / "store").rglob("*")] in ([], [".lock"])


NOBODY = boto3.client("s3", endpoint_url="http://127.0.0.1:9", region_name="us-east-1")

OUTSIDE = [
    "", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "a/./b", "a//b", "a/", ".hidden", "a/.part-x", "A",
    "a b", "é", "a\n", "a\\b", "a\x00b", "-\ufeff", "c:x", "a/b?versionId=1", "~", "$(id)",
]  # fmt: skip


@settings(deadline=None, max_examples=examples(40))
@given(key=st.sampled_from(OUTSIDE) | st.text(max_size=30).filter(lambda key: not NAME.fullmatch(key)))
def test_bad_names_never_touch_the_disk_or_the_network(key: str) -> None:
    async def try_all(store: Store, file: Path) -> None:
        attempts = [
            lambda: store.put(key, b"x"),
            lambda: store.put_new(key, b"x"),
            lambda: store.replace(key, b"x", "tag"),
            lambda: store.get(key),
            lambda: store.put_file(key, file),
            lambda: store.get_file(key, file),
            lambda: store.exists(key),
            lambda: store.delete(key),
        ]
        for attempt in attempts:
            with pytest.raises(StoreError, match="not a proper object name"):
                await attempt()
        if not NAME.fullmatch(key.removesuffix("/")) and key:
            for list_or_delete in (store.names, store.delete_prefix):
                with pytest.raises(StoreError, match="not the beginning of a proper"):
                    await list_or_delete(key)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(b"mine")
        asyncio.run(try_all(FolderStore(Path(folder) / "below" / "store"), file))
        asyncio.run(try_all(S3Store(NOBODY, "bucket"), file))
        assert file.read_bytes() == b"mine"
        left = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*")}
        assert left <= {"file", "below", "below/store", "below/store/.lock"}


@settings(deadline=None, max_examples=examples(25))
@given(key=st.from_regex(NAME, fullmatch=True).filter(lambda key: len(key) < 200), cut=st.integers(0, 200))
def test_proper_names_work_whatever_they_are(key: str, cut: int) -> None:
    async def write_and_list(store: Store) -> None:
        assert await store.put_new(key, b"x")
        assert await store.names(key[:cut]) == [key]
        assert await store.delete_prefix(key[:cut]) == [key]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(write_and_list(FolderStore(Path(folder))))
        assert os.listdir(folder) == [".lock"]


async def test_what_others_leave_in_a_store_is_not_listed(store: Store, tmp_path: Path) -> None:
    await store.put("a/b", b"x")
    if isinstance(store, S3Store):
        store.client.put_object(Bucket=store.bucket, Key="some/prefix/a/", Body=b"")
        store.client.put_object(Bucket=store.bucket, Key="some/elsewhere/b", Body=b"")
    else:
        (tmp_path / "store" / "a" / "Thumbs.db").touch()
        (tmp_path / "elsewhere").touch()
    assert await store.names("") == ["a/b"]
