"""Answers that come from no S3 server, and those of servers that put it otherwise: nothing is done by them."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from storage.errors import Full, StoreError
from storage.failures import Failure
from storage.objects.open import make_store
from storage.objects.store import Store
from tests.servers.proxy import Mischief, proxy
from tests.support.quick import slow_but

# An answer that is refused before it is read leaves its connection to the garbage collector: here, not in another test.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.usefixtures("collected")]

HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = "<!DOCTYPE html><html><body>Back soon.</body></html>"

Operation = Callable[[Store, Path], Awaitable[Any]]
OPERATIONS: dict[str, Operation] = {
    "put": lambda store, file: store.put("a", b"x"),
    "put_new": lambda store, file: store.put_new("a", b"x"),
    "get": lambda store, file: store.get("a"),
    "names": lambda store, file: store.names(""),
    "delete": lambda store, file: store.delete("a"),
    "delete_prefix": lambda store, file: store.delete_prefix("a"),
    "put_file": lambda store, file: store.put_file("a", file),
    "get_file": lambda store, file: store.get_file("a", file.with_suffix(".back")),
}


@pytest.fixture
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[Mischief], Store]:
    """Have a server that gives one answer to everything; gives a store on it."""

    def serving(answer: Mischief) -> Store:
        server = proxy("http://127.0.0.1:1", lambda method, path, headers: answer)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.__enter__())
        request.addfinalizer(lambda: server.__exit__(None, None, None))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return make_store("s3://bucket-of-tests/live")

    return serving


async def failed(store: Store, name: str, tmp_path: Path) -> StoreError:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with pytest.raises(StoreError) as caught:
        await asyncio.wait_for(OPERATIONS[name](store, file), 60)
    return caught.value


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("status", slow_but([200, 404, 403], 200))
async def test_a_web_page_is_no_answer(
    served: Callable[[Mischief], Store], name: str, status: int, tmp_path: Path
) -> None:
    """Neither a write that is done, nor a list with nothing in it, nor an object that is not there."""
    error = await failed(served((status, PAGE, HTML)), name, tmp_path)
    assert type(error) is StoreError and error.failure is Failure.UNKNOWN
    assert "AWS_ENDPOINT_URL_S3 does not speak" in str(error) or "with a web page" in str(error)


@pytest.mark.parametrize("name", ["put", "put_new", "get", "put_file", "names"])
async def test_an_answer_without_what_s3_always_says_is_none(
    served: Callable[[Mischief], Store], name: str, tmp_path: Path
) -> None:
    error = await failed(served((200, "{}")), name, tmp_path)
    assert error.failure in (Failure.UNKNOWN, Failure.OUTAGE)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("status", slow_but([301, 302, 307], 301, 302))
async def test_a_redirect_is_told_and_not_followed_for_ever(
    served: Callable[[Mischief], Store], name: str, status: int, tmp_path: Path
) -> None:
    error = await failed(served((status, "", {"Location": "https://s3.example.org/bucket?x=secret"})), name, tmp_path)
    assert f"it answered {status}, and points to https://s3.example.org;" in str(error) and "secret" not in str(error)
    assert error.failure is (Failure.PERMANENT if status == 301 else Failure.UNKNOWN)


async def test_a_list_that_goes_on_and_does_not_say_where_is_no_whole_list(
    served: Callable[[Mischief], Store], tmp_path: Path
) -> None:
    contents = "<Contents><Key>live/a</Key><Size>1</Size></Contents>"
    store = served((200, f"<ListBucketResult><IsTruncated>true</IsTruncated>{contents}</ListBucketResult>"))
    assert (await failed(store, "names", tmp_path)).failure is Failure.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "is_full", "says"),
    [
        (507, "SomethingOfTheirs", True, "it answered SomethingOfTheirs"),
        (403, "storage_cap_exceeded", True, "space is used up"),
        (403, "TransactionCapExceeded", False, "limit of requests"),
        (400, "ThrottlingException", False, "overloaded"),
    ],
)
async def test_what_passes_is_an_outage_and_no_room_is_told_from_it(
    served: Callable[[Mischief], Store], status: int, code: str, is_full: bool, says: str, tmp_path: Path
) -> None:
    error = await failed(served((status, f"<Error><Code>{code}</Code></Error>")), "delete", tmp_path)
    assert error.failure is Failure.OUTAGE and isinstance(error, Full) == is_full and says in str(error)


async def test_who_deletes_what_is_not_there_is_content(served: Callable[[Mischief], Store]) -> None:
    await served((404, "<Error><Code>NoSuchKey</Code></Error>")).delete("a")


async def test_an_object_that_changes_while_it_is_read_is_read_again_later(
    served: Callable[[Mischief], Store], tmp_path: Path
) -> None:
    error = await failed(served((412, "<Error><Code>PreconditionFailed</Code></Error>")), "get_file", tmp_path)
    assert isinstance(error, StoreError)


async def test_objects_of_which_a_server_does_not_say_which_stayed_are_deleted_one_by_one(
    bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = []

    def vague(method: str, path: str, headers: Message) -> Mischief:
        if method == "DELETE":
            deleted.append(path)
        errors = "<DeleteResult><Error><Code>InternalError</Code></Error></DeleteResult>"
        return (200, errors) if method == "POST" and "delete" in path else None

    with proxy(s3_server, vague) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        store = make_store(f"s3://{bucket}/live")
        for name in ("a/1", "a/2"):
            await store.put(name, b"photo")
        await store.delete_prefix("a/")
        assert len(deleted) == 2 and await store.names("") == []
