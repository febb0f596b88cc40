"""What a store says when it cannot be used, and a server that does mischief: a real proxy before the real server."""

import time
from collections.abc import Awaitable, Callable, Iterator
from email.message import Message
from pathlib import Path

import pytest

from storage.errors import SetupError, StoreError
from tests.servers.backing import SECRET, opened
from tests.servers.proxy import Mischief, proxy
from tests.support.stores import child

pytest_plugins = ["tests.support.stores"]


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
