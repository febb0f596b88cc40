"""The rights that the docs say are enough for S3 are enough, and each of them is needed."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from storage import background_tasks
from storage.errors import SetupError, StoreError
from storage.objects.store import Store
from tests.servers.backing import SECRET, moto_server, opened, s3_environment

DOCS = Path(__file__).parents[3] / "docs" / "operating.md"
BUCKET = "darkroom-example"
ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucket")


def documented() -> dict[str, Any]:
    """The policy in the docs."""
    (policy,) = re.findall(r"```json\n(\{.*?\n\})\n```", DOCS.read_text(), re.DOTALL)
    parsed: dict[str, Any] = json.loads(policy)
    return parsed


def without(policy: dict[str, Any], right: str) -> dict[str, Any]:
    """The same policy less one right, as moto wants it."""
    statements = [
        {**part, "Action": [a for a in _listed(part["Action"]) if a != right]} for part in policy["Statement"]
    ]
    for part in statements:
        part.pop("Condition", None)  # it knows no conditions
        if "s3:DeleteObject" in part["Action"]:  # and wants this right to the bucket where many objects are deleted
            part["Resource"] = [part["Resource"], f"arn:aws:s3:::{BUCKET}"]
    return {**policy, "Statement": [part for part in statements if part["Action"]]}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that lets the first four requests do anything, and later ones what their policy allows."""
    monkeypatch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "4")
    with moto_server() as url:
        yield url


def let_in(url: str, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a bucket and a user with this policy, who is who we are from here on."""
    access = {"region_name": "us-east-1", "aws_access_key_id": "root", "aws_secret_access_key": SECRET}
    s3, iam = (boto3.client(name, endpoint_url=url, **access) for name in ("s3", "iam"))
    s3.create_bucket(Bucket=BUCKET)
    iam.create_user(UserName="darkroom")
    iam.put_user_policy(UserName="darkroom", PolicyName="least", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="darkroom")["AccessKey"]
    known = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    for name, value in {**s3_environment(url), **known}.items():
        monkeypatch.setenv(name, value)


async def use_all(store: Store, folder: Path) -> None:
    """Whatever Darkroom does with a store, files of several parts and an upload that is given up included."""
    big = folder / "big"
    big.write_bytes(os.urandom(20 * 2**20))
    await store.put("a/c", b"")
    await store.put_file("a/b", big)
    await store.get_file("a/b", folder / "back")
    assert await store.names("") == ["a/b", "a/c"]
    assert await store.exists("a/b") and not await store.exists("a/d")
    began = asyncio.Event()
    loop = asyncio.get_running_loop()
    upload = asyncio.create_task(store.put_file("a/d", big, lambda _: loop.call_soon_threadsafe(began.set)))
    await began.wait()
    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)
    await asyncio.gather(*background_tasks.TASKS)
    assert await store.delete_prefix("a/") == ["a/b", "a/c"]


async def test_the_documented_rights_are_enough_and_reach_no_further(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = documented()
    assert sorted(action for part in policy["Statement"] for action in _listed(part["Action"])) == sorted(ACTIONS)
    let_in(server, without(policy, ""), monkeypatch)
    await use_all(await opened(f"s3://{BUCKET}/live"), tmp_path)
    with pytest.raises(SetupError, match="may not use the bucket"):
        await opened(f"s3://{BUCKET}/elsewhere")


@pytest.mark.slow
@pytest.mark.parametrize("right", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"])
async def test_each_of_the_rights_is_needed(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, right: str
) -> None:
    let_in(server, without(documented(), right), monkeypatch)
    with pytest.raises((SetupError, StoreError)):
        await use_all(await opened(f"s3://{BUCKET}/live"), tmp_path)
