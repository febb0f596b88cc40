"""S3 servers other than the usual one: each lacks something, wants something more, or has a proxy before it.

All are moto's server behind a proxy that answers as such servers do.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from storage.errors import SetupError, StoreError
from storage.failures import Failure
from storage.objects.open import make_store, open_store
from storage.objects.s3 import S3Store
from storage.objects.s3_errors import clock_difference
from storage.objects.store_probe import probe_store
from storage.settings.shared import SharedSettings
from tests.servers.backing import opened
from tests.servers.proxy import Mischief, proxy
from tests.support.quick import pairs_slow_but, slow_but

Serve = Callable[[Callable[[str, str, Message], Mischief]], str]


def answer(status: int, code: str, more: str = "") -> tuple[int, str]:
    return status, f"<Error><Code>{code}</Code><Message>hidden</Message>{more}</Error>"


@pytest.fixture
def serve(bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Serve:
    """Have a server that answers as it is told to; gives the URL of a store on it."""

    def serving(mischief: Callable[[str, str, Message], Mischief]) -> str:
        server = proxy(s3_server, mischief)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.__enter__())
        request.addfinalizer(lambda: server.__exit__(None, None, None))
        return f"s3://{bucket}/live"

    return serving


async def failures(url: str) -> dict[str, str]:
    """What does not work with a store, by the probe."""
    return {finding.name: finding.says for finding in await probe_store(make_store(url)) if finding.state == "fail"}


async def test_all_works_on_a_plain_server_and_on_a_folder_and_nothing_is_left(store_url: str) -> None:
    findings = await probe_store(make_store(store_url))
    assert len(findings) in (8, 9) and {finding.state for finding in findings} == {"ok"}
    assert await make_store(store_url).names("") == []


async def test_a_bucket_that_keeps_what_is_deleted_is_warned_of(bucket: str) -> None:
    store = S3Store.from_url(f"s3://{bucket}/live")
    store.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    told = [(finding.name, finding.state) for finding in await probe_store(store) if finding.state != "ok"]
    store.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert told == [("versioning", "warn")]
    assert {finding.state for finding in await probe_store(store)} == {"ok"}


async def test_a_server_that_wants_content_md5_to_delete_many_gets_it(serve: Serve) -> None:
    seen = []

    def picky(method: str, path: str, headers: Message) -> Mischief:
        if method == "POST" and "delete" in path:
            seen.append(headers["Content-MD5"])
            return None if headers["Content-MD5"] else answer(400, "MissingContentMD5")
        return None

    store = await opened(serve(picky))
    for name in ("a/1", "a/2"):
        await store.put(name, b"photo")
    assert await store.delete_prefix("a/") == ["a/1", "a/2"] and await store.names("") == []
    assert len(base64.b64decode(seen[-1])) == hashlib.md5(b"").digest_size


@pytest.mark.parametrize(
    "code", slow_but(["NotImplemented", "MethodNotAllowed", "InvalidRequest", "MalformedXML"], "MalformedXML")
)
async def test_a_server_that_cannot_delete_many_deletes_one_by_one(serve: Serve, code: str) -> None:
    asked = []

    def old(method: str, path: str, headers: Message) -> Mischief:
        asked.append(method)
        return answer(501 if code == "NotImplemented" else 400, code) if method == "POST" and "delete" in path else None

    store = await opened(serve(old))
    for name in ("a/1", "a/2", "b"):
        await store.put(name, b"photo")
    asked.clear()
    assert await store.delete_prefix("a/") == ["a/1", "a/2"]
    assert await store.names("") == ["b"]
    assert "POST" not in asked, "it is not asked in vain again"


async def test_a_server_that_does_not_know_conditions_is_refused_by_their_name(serve: Serve) -> None:
    url = serve(lambda method, path, headers: answer(501, "NotImplemented") if headers["If-None-Match"] else None)
    with pytest.raises(SetupError, match=r"PUT with If-None-Match\): .*501 NotImplemented to PutObject"):
        await opened(url)
    assert await make_store(url).names("") == []


@pytest.mark.parametrize("code", slow_but(["OperationAborted", "ConditionalRequestConflict"], "OperationAborted"))
async def test_conflicts_of_all_writes_are_tried_again(serve: Serve, code: str, tmp_path: Path) -> None:
    plan: list[str] = []

    def busy(method: str, path: str, headers: Message) -> Mischief:
        if plan and method in plan[0]:
            plan.pop(0)
            return answer(409, code)
        return None

    store = await opened(serve(busy))
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for write, method in (
        (lambda: store.put("a", b"1"), "PUT"),
        (lambda: store.put_new("b", b"1"), "PUT"),
        (lambda: store.put_file("c", file), "PUT"),
        (lambda: store.delete("a"), "DELETE"),
        (lambda: store.delete_prefix("b"), "POST"),
    ):
        plan[:] = [method, method]
        await write()
        assert plan == []
    assert await store.names("") == ["c"]


async def test_what_a_head_cannot_tell_is_asked_again(serve: Serve) -> None:
    says = {"HEAD": (200, "")}

    def strict(method: str, path: str, headers: Message) -> Mischief:
        if "there" not in path:
            return None
        return says.get(method) or says["GET"]

    store = make_store(serve(strict))
    for status, code, reason in (
        (400, "ExpiredToken", "credentials have expired"),
        (403, "AccessDenied", "needs s3:GetObject"),
        (403, "SignatureDoesNotMatch", "did not match"),
        (404, "NoSuchBucket", "there is no bucket"),
        (301, "PermanentRedirect", "in another region"),
    ):
        says = {"HEAD": (status if status != 404 else 400, ""), "GET": answer(status, code)}
        with pytest.raises(StoreError, match=reason) as caught:
            await store.exists("there")
        assert caught.value.failure is Failure.PERMANENT and "hidden" not in str(caught.value)


async def test_a_clock_that_is_wrong_is_waited_for_and_the_difference_is_said(serve: Serve) -> None:
    """Somebody sets it right; the server tells the time by its own clock with each answer."""
    store = make_store(serve(lambda method, path, headers: answer(403, "RequestTimeTooSkewed")))
    with pytest.raises(
        StoreError, match=r"its clock and ours differ too much: ours is \d+ s (ahead|behind)\."
    ) as caught:
        await store.get("there")
    assert caught.value.failure is Failure.OUTAGE
    response: Any = {"Error": {"Code": "RequestTimeTooSkewed"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    for date, says in (("Mon, 30 Nov 2026 10:00:00 GMT", ": ours is 2 h 5 min ahead"), ("junk", ""), ("", "")):
        response["ResponseMetadata"]["HTTPHeaders"] = {"date": date}
        now_s = datetime(2026, 11, 30, 12, 5, tzinfo=UTC).timestamp()
        assert clock_difference(ClientError(response, "GetObject"), now_s) == says


async def test_a_proxy_that_changes_the_request_is_not_called_a_wrong_key(serve: Serve) -> None:
    url = serve(lambda method, path, headers: answer(403, "SignatureDoesNotMatch"))
    with pytest.raises(SetupError, match=r"AWS_SECRET_ACCESS_KEY is wrong, or something between us, as a proxy"):
        await opened(url)


ANSWERS = [
    (503, "SlowDown", Failure.OUTAGE, "overloaded"),
    (503, "", Failure.OUTAGE, "it answered 503"),
    (500, "InternalError", Failure.OUTAGE, "error of its own"),
    (307, "TemporaryRedirect", Failure.OUTAGE, "being moved"),
    (507, "XMinioStorageFull", Failure.OUTAGE, "its disk is full"),
    (403, "QuotaExceeded", Failure.OUTAGE, "space is used up"),
    (507, "", Failure.OUTAGE, "its disk is full"),
    (507, "InsufficientStorage", Failure.OUTAGE, "its disk is full"),
    (400, "XMinioAdminBucketQuotaExceeded", Failure.OUTAGE, "quota of the bucket"),
    (429, "RequestThrottled", Failure.OUTAGE, "overloaded"),
    (408, "SlowBody", Failure.OUTAGE, "it answered SlowBody"),
    (404, "NoSuchBucket", Failure.PERMANENT, "there is no bucket"),
    (403, "AccessDenied", Failure.PERMANENT, "needs s3:PutObject"),
    (403, "InvalidAccessKeyId", Failure.PERMANENT, "does not know this AWS_ACCESS_KEY_ID"),
    (400, "AuthorizationHeaderMalformed", Failure.PERMANENT, "names the region eu-west-9"),
    (400, "SomethingNew", Failure.UNKNOWN, "it answered SomethingNew to PutObject"),
]


@pytest.mark.parametrize(("status", "code", "failure", "says"), pairs_slow_but(ANSWERS, *ANSWERS[::3]))
async def test_each_answer_is_an_outage_or_for_good_or_unknown(
    serve: Serve, status: int, code: str, failure: Failure, says: str
) -> None:
    body = answer(status, code, "<Region>eu-west-9</Region>") if code else (status, "")
    store = make_store(serve(lambda method, path, headers: body if method == "PUT" else None))
    with pytest.raises(StoreError) as caught:
        await store.put("a", b"")
    assert caught.value.failure is failure and says in str(caught.value)


async def test_each_thing_that_does_not_work_is_named(serve: Serve) -> None:
    def no_parts(method: str, path: str, headers: Message) -> Mischief:
        if method == "POST" and "uploads" in path:
            return answer(501, "NotImplemented")
        return answer(403, "AccessDenied") if method == "GET" and "list-type" in path else None

    failed = await failures(serve(no_parts))
    assert set(failed) == {
        "list (ListObjectsV2)",
        "upload in parts (multipart upload)",
        "delete (DELETE, DeleteObjects)",  # what is below a name cannot be deleted without a listing
    }
    assert "s3:ListBucket" in failed["list (ListObjectsV2)"]
    assert "501" in failed["upload in parts (multipart upload)"]


async def test_a_server_that_lists_late_is_refused(serve: Serve) -> None:
    empty = "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
    url = serve(lambda method, path, headers: (200, empty) if "list-type" in path else None)
    with pytest.raises(SetupError, match="a listing does not show what was just written"):
        await opened(url)


async def test_a_short_command_relies_on_what_was_found_out_lately(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    url = serve(lambda method, path, headers: asked.append(method))
    settings = SharedSettings(DARKROOM_STORE=url, DARKROOM_HOME=tmp_path)
    await open_store(settings, short=True)
    assert len(asked) > 15, "nobody has tried it yet"
    asked.clear()
    await open_store(settings, short=True)
    assert asked == []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    await open_store(settings, short=True)
    assert len(asked) > 15
    asked.clear()
    await open_store(settings)
    assert len(asked) > 15, "who stays tries it all"


# credentials that expire


def expiring(alive: set[str]) -> Callable[[str, str, Message], Mischief]:
    """A server that takes only the tokens that are alive."""

    def mischief(method: str, path: str, headers: Message) -> Mischief:
        return None if headers["x-amz-security-token"] in alive else answer(400, "ExpiredToken")

    return mischief


async def test_newer_credentials_in_the_file_are_taken_when_the_old_ones_expire(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = {"one"}
    url = serve(expiring(alive))
    file = tmp_path / "credentials"

    def write(token: str) -> None:
        given = f"aws_access_key_id=tests\naws_secret_access_key=x\naws_session_token={token}"
        file.write_text(f"[default]\n{given}\n")

    write("one")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = await opened(url)
    alive ^= {"one", "two"}
    with pytest.raises(StoreError, match="have expired, and there were no newer ones"):
        await store.put("a", b"1")
    write("two")
    await store.put("a", b"1")
    assert await store.exists("a")


async def test_credentials_of_a_cloud_are_renewed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, given = {"one"}, ["one"]
    url = serve(expiring(alive))

    class Metadata(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            until = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
            said: dict[str, Any] = {"AccessKeyId": "tests", "SecretAccessKey": "x", "Token": given[0]}
            body = json.dumps({**said, "Expiration": until}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        store = await opened(url)
        alive ^= {"one", "two"}  # taken back before their time
        given[0] = "two"
        await store.put("a", b"1")
        assert await store.exists("a")
        server.shutdown()
