"""One set of promises, kept by the folder and by S3 alike; and what each says when it cannot."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from email.message import Message
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import background_tasks
from storage.errors import Damaged, Missing, SetupError, StoreError
from storage.objects.folder import FolderStore
from storage.objects.s3 import S3Store
from storage.objects.store import NAME, Store
from tests.servers.backing import SECRET, opened
from tests.servers.proxy import Mischief, proxy

pytest_plugins = ["tests.support.stores"]

HERE = Path(__file__).parents[3]
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
UPLOAD = """
import asyncio, pathlib, sys
from tests.servers.backing import opened
async def main():
    await (await opened(sys.argv[1])).put_file("half/big", pathlib.Path(sys.argv[2]))
asyncio.run(main())
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


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


NOBODY = boto3.client("s3", endpoint_url="http://127.0.0.1:9", region_name="us-east-1")
OUTSIDE = [
    "", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "a/./b", "a//b", "a/", ".hidden", "a/.part-x", "A",
    "a b", "é", "a\n", "a\\b", "a\x00b", "-\ufeff", "c:x", "a/b?versionId=1", "~", "$(id)",
]  # fmt: skip


@settings(deadline=None, max_examples=40)
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


@settings(deadline=None, max_examples=25)
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


# what goes wrong


async def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file/store cannot be used. write .*Not a directory"):
        await opened(str(tmp_path / "file" / "store"))


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
import asyncio, pathlib, resource, sys
from storage.objects.folder import FolderStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    asyncio.run(FolderStore(pathlib.Path(sys.argv[1])).put("a/b", bytes(2000)))
except Exception as error:
    print(type(error).__name__, error)
"""
    said = child(code, str(tmp_path)).communicate()[0]
    assert said.startswith(f"StoreError The store in {tmp_path} failed: File too large")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


async def test_a_server_that_is_not_there_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://someone:secret@127.0.0.1:9")
    with pytest.raises(SetupError, match=r"S3 server http://127\.0\.0\.1:9 cannot be used: it cannot be reached\."):
        await opened(f"s3://{bucket}")


async def test_a_bucket_that_is_not_there_is_said(bucket: str) -> None:
    with pytest.raises(SetupError, match="there is no bucket nowhere"):
        await opened("s3://nowhere")


async def test_credentials_that_are_not_there_are_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SetupError, match="there are no credentials; set AWS_ACCESS_KEY_ID"):
        await opened(f"s3://{bucket}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    with pytest.raises(SetupError, match="AWS_SECRET_ACCESS_KEY"):
        await opened(f"s3://{bucket}")


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://a/b?c", "s3://key:hidden@bucket/x"])
async def test_a_store_that_is_no_store_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(SetupError, match="has to look like s3://bucket") as caught:
        await opened(url)
    assert "hidden" not in str(caught.value)


async def test_an_endpoint_that_is_no_url_is_said(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "somewhere")
    with pytest.raises(SetupError, match="AWS_ENDPOINT_URL_S3 has to be a URL"):
        await opened(f"s3://{bucket}")


# a server that does mischief: a real proxy in front of the real server


@pytest.fixture
def mischief(bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Mischief]]]:
    """What the server is to do at the next requests of each method."""
    plan: dict[str, list[Mischief]] = {}
    with proxy(s3_server, lambda method, *_: plan[method].pop(0) if plan.get(method) else None) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        yield plan


def s3_error(status: int, code: str) -> tuple[int, str]:
    return status, f"<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>"


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
async def test_a_server_that_ignores_conditions_is_refused(
    bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    def forget(_method: str, _path: str, headers: Message) -> None:
        del headers[header]

    with proxy(s3_server, forget) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(SetupError, match="ignores conditional writes"):
            await opened(f"s3://{bucket}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    assert await (await opened(f"s3://{bucket}")).names("") == []


async def test_credentials_that_cannot_tell_missing_from_forbidden_are_refused(
    bucket: str, mischief: dict[str, list[Mischief]]
) -> None:
    mischief["HEAD"] = [(200, ""), (403, "")]  # as S3 answers who may not list
    mischief["GET"] = [None, None, s3_error(403, "AccessDenied")]
    with pytest.raises(SetupError, match="these credentials may not use the bucket"):
        await opened(f"s3://{bucket}")


async def test_who_wins_but_loses_the_answer_still_knows(bucket: str, mischief: dict[str, list[Mischief]]) -> None:
    store = await opened(f"s3://{bucket}")
    mischief["PUT"] = ["lose"]
    assert await store.put_new("x", b"mine")
    tag = (await store.get("x")).tag
    mischief["PUT"] = ["lose"]
    assert not await store.put_new("x", b"mine")
    mischief["PUT"] = ["lose"]
    assert await store.replace("x", b"newer", tag)
    mischief["PUT"] = ["lose"]
    assert not await store.replace("x", b"newer", tag)
    assert (await store.get("x")).data == b"newer"


async def test_a_conflict_is_tried_again(bucket: str, mischief: dict[str, list[Mischief]]) -> None:
    store = await opened(f"s3://{bucket}")
    mischief["PUT"] = [s3_error(409, "ConditionalRequestConflict")] * 3
    assert await store.put_new("x", b"1")
    assert mischief["PUT"] == []
    mischief["PUT"] = [s3_error(409, "ConditionalRequestConflict")]
    assert not await store.put_new("x", b"2")


async def test_an_answer_that_breaks_off_is_read_again(bucket: str, mischief: dict[str, list[Mischief]]) -> None:
    store = await opened(f"s3://{bucket}")
    await store.put("x", b"whole")
    mischief["GET"] = ["cut", "cut"]
    began_s = time.monotonic()
    assert (await store.get("x")).data == b"whole"
    assert time.monotonic() - began_s > 0.3, "a server in trouble is given time, longer each time"
    mischief["GET"] = ["cut"] * 3
    with pytest.raises(StoreError, match="the connection broke"):
        await store.get("x")


ANSWERS = {
    (403, "AccessDenied"): "may not use the bucket tests-",
    (403, "InvalidAccessKeyId"): "does not know this AWS_ACCESS_KEY_ID",
    (403, "SignatureDoesNotMatch"): "the signature of a request did not match",
    (400, "ExpiredToken"): "credentials have expired",
    (403, "RequestTimeTooSkewed"): "clock",
    (418, "Some{thing}New"): "it answered Some{thing}New",
}


async def test_what_the_server_says_is_said_in_a_sentence(
    bucket: str, mischief: dict[str, list[Mischief]], tmp_path: Path
) -> None:
    store = await opened(f"s3://{bucket}")
    file = tmp_path / "file"
    file.write_bytes(b"x")
    attempts: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("PUT", lambda: store.put("x", b"")),
        ("PUT", lambda: store.put_new("x", b"")),
        ("PUT", lambda: store.put_file("x", file)),
        ("GET", lambda: store.get("x")),
        ("GET", lambda: store.names("x")),
        ("DELETE", lambda: store.delete("x")),
    ]
    for (status, code), said in ANSWERS.items():
        for method, attempt in attempts:
            mischief[method] = [s3_error(status, code)]
            with pytest.raises(StoreError) as caught:
                await attempt()
            assert said in str(caught.value)
            assert SECRET not in str(caught.value)
            assert type(caught.value) is StoreError
    mischief["HEAD"], mischief["GET"] = [(403, "")], [s3_error(403, "AccessDenied")]
    with pytest.raises(StoreError, match="may not use the bucket"):
        await store.exists("x")
    mischief["GET"] = [(418, "<Error/>")]  # what stands before a server may answer in its place
    with pytest.raises(StoreError, match="it answered 418"):
        await store.get("x")


async def test_what_could_not_be_deleted_is_said(bucket: str, mischief: dict[str, list[Mischief]]) -> None:
    store = await opened(f"s3://{bucket}")
    await store.put("a/b", b"x")
    errors = "<Error><Key>a/b</Key><Code>AccessDenied</Code></Error>"
    mischief["POST"] = [(200, f"<DeleteResult>{errors}</DeleteResult>")]
    mischief["DELETE"] = [s3_error(403, "AccessDenied")]
    with pytest.raises(StoreError, match="needs s3:DeleteObject"):
        await store.delete_prefix("a/")
    mischief["POST"] = [(200, f"<DeleteResult>{errors}</DeleteResult>")]
    await store.delete_prefix("a/")  # one by one it can be
    assert not await store.exists("a/b")


# files on their way


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
