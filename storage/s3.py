"""The object store that is an S3 bucket, on AWS or any server that honours conditional writes.

Where the server is and who we are is boto3's own business: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and so on.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import CancelledError
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import boto3
from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError
from tenacity import (
    retry,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
    wait_random_exponential,
)

from storage.errors import Missing, SetupError, StoreError
from storage.files import NAME, PAGE, Store, Versioned, checked_name, checked_prefix
from storage.s3_errors import FAILURES, NOT_THERE, answer_code, store_error
from storage.transfers import Stopped, Transfer, appearing, check, nobody

T = TypeVar("T")
URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9._-]{3,63})(/(?P<prefix>[^?#]*))?")
CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    s3={"addressing_style": "path"},  # bucket.host needs a wildcard DNS name, which few own servers have
    request_checksum_calculation="when_required",  # many servers refuse the CRC trailers that newer clients add
    response_checksum_validation="when_required",
)
TRANSFER = TransferConfig(preferred_transfer_client="classic")  # 8 MiB parts, 10 at a time
DELETE_MAX = 1000  # names in one request, by the protocol
REFUSED = {"PreconditionFailed", "412", *NOT_THERE}  # how servers say that a write's condition does not hold


class S3Store(Store):
    """A bucket, or what is below a prefix in it.

    A file larger than a part is uploaded in parts; those of an upload that died stay invisible until the bucket's
    lifecycle rule AbortIncompleteMultipartUpload clears them.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self.client = client
        self.bucket = bucket
        self.root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def from_url(cls, url: str) -> "S3Store":
        """Make the store of `s3://bucket/prefix`, without talking to it yet; raises SetupError."""
        parts = URL.fullmatch(url)
        if not parts:  # the URL is not repeated: people put keys into it
            raise SetupError("DARKROOM_STORE has to look like s3://bucket or s3://bucket/prefix.")
        try:
            client = boto3.session.Session().client("s3", config=CONFIG)
        except BotoCoreError as error:
            raise SetupError(f"The AWS_* settings are not right: {error}") from error
        except ValueError as error:
            raise SetupError("AWS_ENDPOINT_URL_S3 has to be a URL like https://s3.example.org.") from error
        return cls(client, parts["bucket"], parts["prefix"] or "")

    async def put(self, key: str, data: bytes) -> None:
        """Write an object whole."""
        await self._run(self._put, key, data)

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
            return await asyncio.to_thread(function, key, *arguments)
        except FAILURES as error:
            raise store_error(error, self.client.meta.endpoint_url, self.bucket, key) from error

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.root + checked_name(key)}

    def _put(self, key: str, data: bytes) -> None:
        self.client.put_object(**self._where(key), Body=data)

    @retry(
        retry=retry_if_exception(lambda error: answer_code(error) == "ConditionalRequestConflict"),
        wait=wait_random_exponential(multiplier=0.05, max=1),
        stop=stop_after_attempt(10),
        reraise=True,
    )
    def _put_if(self, key: str, data: bytes, condition: dict[str, str]) -> bool:
        mark = uuid4().hex
        try:
            self.client.put_object(**self._where(key), Body=data, Metadata={"write": mark}, **condition)
        except ClientError as error:
            if answer_code(error) not in REFUSED:
                raise
            # boto3 repeats a request whose answer was lost, and what then stands in the way may be our own first write
            repeated = error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
            return repeated and self._mark(key) == mark
        return True

    def _mark(self, key: str) -> str | None:
        try:
            metadata: dict[str, str] = self._head(key)["Metadata"]
        except ClientError as error:
            if answer_code(error) in NOT_THERE:
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
        answer: dict[str, Any] = self.client.head_object(**self._where(key))
        return answer

    def _upload(self, key: str, path: Path, transfer: Transfer) -> None:
        where = self._where(key)
        transfer.size_bytes = path.stat().st_size
        with create_transfer_manager(self.client, TRANSFER) as moving:
            told = [ProgressCallbackInvoker(transfer)]
            _finish(moving.upload(str(path), where["Bucket"], where["Key"], subscribers=told), transfer)

    def _download(self, key: str, path: Path, sha256: str, transfer: Transfer) -> None:
        if transfer.told is not nobody:
            transfer.size_bytes = self._head(key)["ContentLength"]
        where = self._where(key)
        with appearing(path) as part:
            with part.open("wb") as handle, create_transfer_manager(self.client, TRANSFER) as moving:
                told = [ProgressCallbackInvoker(transfer)]
                _finish(moving.download(where["Bucket"], where["Key"], handle, subscribers=told), transfer)
            check(part, sha256, key)

    def _names(self, prefix: str, filled: bool = False, after: str = "", most: int | None = None) -> list[str]:
        where: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.root + checked_prefix(prefix)}
        if after:
            where["StartAfter"] = self.root + after
        if most is not None:
            where["MaxKeys"] = min(most, PAGE)
        pages = self.client.get_paginator("list_objects_v2").paginate(**where)
        items = (item for page in pages for item in page.get("Contents", []) if item["Size"] or not filled)
        names = (item["Key"].removeprefix(self.root) for item in items)
        return sorted(islice((name for name in names if NAME.fullmatch(name)), most))

    def _delete(self, key: str) -> None:
        self.client.delete_object(**self._where(key))

    def _delete_prefix(self, prefix: str) -> list[str]:
        names = self._names(prefix)
        for start in range(0, len(names), DELETE_MAX):
            batch = [{"Key": self.root + name} for name in names[start : start + DELETE_MAX]]
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            if left := answer.get("Errors"):
                raise StoreError(f"{len(left)} objects below {prefix} could not be deleted ({left[0].get('Code')}).")
        return names


def _finish(moving: Any, transfer: Transfer) -> None:
    """Wait until s3transfer has moved a file; raises Stopped where it was told to stop."""
    transfer.when_stopped(moving.cancel)
    try:
        moving.result()
    except CancelledError:
        raise Stopped from None
