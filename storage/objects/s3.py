"""The object store that is an S3 bucket, on AWS or any server that honours conditional writes.

Where the server is and who we are is boto3's own business: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and so on.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError
from tenacity import (
    Retrying,
    retry,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
    wait_random_exponential,
)

from storage.errors import Missing, SetupError
from storage.failures import Failure
from storage.objects.s3_client import S3Client
from storage.objects.s3_errors import (
    CONFLICTS,
    EXPIRED,
    FAILURES,
    answer_code,
    is_missing,
    meaning_of,
    store_error,
    unwrapped,
)
from storage.objects.store import NAME, PAGE, Store, Versioned, checked_name, checked_prefix
from storage.objects.transfers import Transfer, TransferCancelled, appearing, check, ignore_progress

log = logging.getLogger(__name__)

T = TypeVar("T")
URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9._-]{3,63})(/(?P<prefix>[^?#]*))?")
TRANSFER = TransferConfig(preferred_transfer_client="classic")  # 8 MiB parts, 10 at a time
SINGLY_AT_ONCE = 8
DELETE_MAX = 1000  # names in one request, by the protocol
REFUSED = {"PreconditionFailed", "412"}  # how servers say that a write's condition does not hold


class S3Store(Store):
    """A bucket, or what is below a prefix in it.

    A file larger than a part is uploaded in parts; those of an upload that died stay invisible until the bucket's
    lifecycle rule AbortIncompleteMultipartUpload clears them.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "", access: S3Client | None = None) -> None:
        """`access` can make another client, with newer credentials."""
        self.client, self._access = client, access
        self.bucket = bucket
        self._deletes_singly = False  # once the server has refused to delete many at once
        self.root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_url(cls, url: str) -> "S3Store":
        """Make the store of `s3://bucket/prefix`, without talking to it yet; raises SetupError."""
        parts = URL.fullmatch(url)
        if not parts:  # the URL is not repeated: people put keys into it
            raise SetupError("DARKROOM_STORE has to look like s3://bucket or s3://bucket/prefix.")
        access = S3Client()
        return cls(access.client, parts["bucket"], parts["prefix"] or "", access)

    def __str__(self) -> str:
        """Server, bucket, prefix, and the id of our key: what tells this store from others."""
        who = self._access.key_id if self._access else ""
        return "\n".join((self.client.meta.endpoint_url, self.bucket, self.root, who))

    async def put(self, key: str, data: bytes) -> None:
        """Write an object whole."""
        await self._run(self._put, key, data)

    async def put_in_parts(self, key: str, data: bytes) -> None:
        """Write an object by a multipart upload, and give up another."""
        await self._run(self._put_in_parts, key, data)

    async def put_new(self, key: str, data: bytes) -> bool:
        """Write an object only if there is none."""
        return await self._run(self._put_if, key, data, {"IfNoneMatch": "*"})

    async def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write an object only if it still is the version `tag`."""
        return await self._run(self._put_if, key, data, {"IfMatch": tag})

    async def get(self, key: str) -> Versioned:
        """Read an object."""
        return await self._run(self._get, key)

    async def vacate(self, key: str, tag: str) -> bool:
        """Empty an object if it still is the version `tag`: few servers delete on a condition."""
        return await self.replace(key, b"", tag)

    async def names(self, prefix: str, filled: bool = False, *, after: str = "", most: int | None = None) -> list[str]:
        """Names of objects that begin with `prefix`, all or a page of them."""
        return await self._run(self._names, prefix, filled, after, most)

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object of that name, without reading it."""
        try:
            await self._run(self._head, key)
        except Missing:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Delete an object."""
        await self._run(self._delete, key)

    async def delete_prefix(self, prefix: str) -> list[str]:
        """Delete all objects that begin with `prefix`, a thousand at a time."""
        return await self._run(self._delete_prefix, prefix)

    async def _run(self, function: Callable[..., T], key: str, *arguments: object) -> T:
        try:
            return await asyncio.to_thread(self._with_retries, function, key, *arguments)
        except FAILURES as error:
            raise store_error(error, self.client.meta.endpoint_url, self.bucket, key) from error

    def _with_retries(self, function: Callable[..., T], *arguments: object) -> T:
        """Call again while others write the same object, and once with newer credentials where ours have expired."""
        retrying = Retrying(
            retry=retry_if_exception(lambda error: answer_code(unwrapped(error)) in CONFLICTS),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            stop=stop_after_attempt(10),
            reraise=True,
        )
        result: T = retrying(self._with_access, function, *arguments)
        return result

    def _with_access(self, function: Callable[..., T], *arguments: object) -> T:
        used = self.client
        try:
            return function(*arguments)
        except FAILURES as error:
            # botocore renews only credentials that it knows to expire; these may have changed in a file.
            expired = answer_code(unwrapped(error)) in EXPIRED
            if not (expired and self._access and self._access.renewed(used)):
                raise
            self.client = self._access.client
        return function(*arguments)

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.root + checked_name(key)}

    def _put(self, key: str, data: bytes) -> None:
        answer = self.client.put_object(**self._where(key), Body=data)
        self.keeps_versions = answer.get("VersionId", "null") != "null"  # the id of what is written without versioning

    def _put_if(self, key: str, data: bytes, condition: dict[str, str]) -> bool:
        # Without a mark, a lost answer to our own write could not be told from somebody else's write.
        mark = uuid4().hex
        try:
            self.client.put_object(**self._where(key), Body=data, Metadata={"write": mark}, **condition)
        except ClientError as error:
            if not (is_missing(error) or answer_code(error) in REFUSED):
                raise
            # boto3 repeats a request whose answer was lost, and what then stands in the way may be our own first write
            repeated = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            return repeated and self._mark(key) == mark
        return True

    def _mark(self, key: str) -> str | None:
        try:
            metadata: dict[str, str] = self._head(key)["Metadata"]
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return metadata.get("write")

    @retry(
        retry=retry_if_exception_type((ResponseStreamingError, IncompleteReadError)),
        wait=wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.1),
        stop=stop_after_attempt(3),
        reraise=True,
    )
    def _get(self, key: str) -> Versioned:
        answer = self.client.get_object(**self._where(key))
        return Versioned(answer["Body"].read(), answer["ETag"])

    def _head(self, key: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self.client.head_object(**self._where(key))
        except ClientError as error:
            if is_missing(error) or meaning_of(error).failure is Failure.OUTAGE:
                raise
            answer = self.client.get_object(**self._where(key))  # which tells why: the answer to HEAD has no text
            answer["Body"].close()
        return answer

    def _upload(self, key: str, path: Path, transfer: Transfer) -> None:
        where = self._where(key)
        transfer.size_bytes = path.stat().st_size
        with create_transfer_manager(self.client, TRANSFER) as moving:
            subscribers = [ProgressCallbackInvoker(transfer)]
            _finish(moving.upload(str(path), where["Bucket"], where["Key"], subscribers=subscribers), transfer)

    def _download(self, key: str, path: Path, sha256: str, transfer: Transfer) -> None:
        if transfer.on_progress is not ignore_progress:
            transfer.size_bytes = self._head(key)["ContentLength"]
        where = self._where(key)
        with appearing(path) as part:
            # A manager for each file: cancelling one must not stop the transfers of other jobs.
            with part.open("wb") as handle, create_transfer_manager(self.client, TRANSFER) as moving:
                subscribers = [ProgressCallbackInvoker(transfer)]
                _finish(moving.download(where["Bucket"], where["Key"], handle, subscribers=subscribers), transfer)
            check(part, sha256, key)

    def _names(self, prefix: str, filled: bool = False, after: str = "", most: int | None = None) -> list[str]:
        where: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.root + checked_prefix(prefix)}
        if after:
            where["StartAfter"] = self.root + after
        if most is not None:
            where["MaxKeys"] = min(most, PAGE)
        pages = self.client.get_paginator("list_objects_v2").paginate(**where)
        items = (item for page in pages for item in page.get("Contents", []) if item.get("Size", 1) or not filled)
        names = (item["Key"].removeprefix(self.root) for item in items)
        return sorted(islice((name for name in names if NAME.fullmatch(name)), most))

    def _delete(self, key: str) -> None:
        try:
            self.client.delete_object(**self._where(key))
        except ClientError as error:
            if not is_missing(error):  # as some servers say, where others have nothing against it
                raise

    def _delete_prefix(self, prefix: str) -> list[str]:
        names = self._names(prefix)
        for start in range(0, len(names), DELETE_MAX):
            self._delete_all(names[start : start + DELETE_MAX])
        return names

    def _delete_all(self, names: list[str]) -> None:
        """Delete many at once, or one by one those that the server does not delete so."""
        left = names if self._deletes_singly else self._delete_at_once(names)
        with ThreadPoolExecutor(SINGLY_AT_ONCE) as threads:
            list(threads.map(self._delete, left))

    def _delete_at_once(self, names: list[str]) -> list[str]:
        """Delete many; return those that are left."""
        objects = [{"Key": self.root + name} for name in names]
        try:
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
        except ClientError as error:
            if meaning_of(error).failure is Failure.OUTAGE or answer_code(error) in EXPIRED:
                raise
            log.warning("objects are deleted one by one: to DeleteObjects it answered %s", answer_code(error))
            self._deletes_singly = True
            return names
        failed = [item.get("Key", "") for item in answer.get("Errors", [])]
        return [key.removeprefix(self.root) for key in failed] if all(failed) else names

    def _put_in_parts(self, key: str, data: bytes) -> None:
        where = self._where(key)
        given_up = self.client.create_multipart_upload(**where)["UploadId"]
        self.client.abort_multipart_upload(**where, UploadId=given_up)  # as an upload that is cancelled
        upload = {**where, "UploadId": self.client.create_multipart_upload(**where)["UploadId"]}
        part = self.client.upload_part(**upload, PartNumber=1, Body=data)
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def _finish(moving: Any, transfer: Transfer) -> None:
    """Wait until s3transfer has moved a file; raises TransferCancelled if it was cancelled."""
    transfer.when_stopped(moving.cancel)
    try:
        moving.result()
    except CancelledError:
        raise TransferCancelled from None
