"""Fixtures of the two stores: a folder, and a bucket of one moto server that runs as long as the tests do.

A test module asks for them with `pytest_plugins = ["tests.support.stores"]`.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from storage.ids import new_id
from storage.objects.store import Store
from tests.servers.backing import SECRET, moto_server, opened, s3_environment
from tests.servers.proxy import Hold, proxy

HERE = Path(__file__).parents[2]
INDEXES = ("indexes/", "jobs-about/", "jobs-of/", "jobs-under/", "open/", "upkeep/")


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, with pipes to and from it."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


async def records(store: Store) -> list[str]:
    """Names of all that is stored but what can be made again: indexes, and how far upkeep is."""
    return [name for name in await store.names("") if not name.startswith(INDEXES)]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """URL of moto's server."""
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def s3_client(s3_server: str) -> Any:
    """Give a client of the server for what Darkroom itself never does."""
    return boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="tests", aws_secret_access_key=SECRET
    )


@pytest.fixture
def bucket(s3_server: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a fresh bucket; the environment says how to reach it, here and in child processes."""
    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    name = f"tests-{new_id()}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh store is, of each kind; the tests of stores themselves use both in `make test` as well."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"s3://{request.getfixturevalue('bucket')}/some/prefix"


@pytest.fixture
async def store(store_url: str) -> Store:
    """Give a fresh store of each kind."""
    return await opened(store_url)


@pytest.fixture
def hold() -> Hold:
    """Hold back what the first of the `ways` writes."""
    return Hold("PUT", "DELETE")


@pytest.fixture
async def ways(bucket: str, s3_server: str, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Give the same store as two processes have it: what the first writes can be held back at the server's door."""
    with proxy(s3_server, hold) as held:
        found = []
        for url in (held, s3_server):
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            found.append(await opened(f"s3://{bucket}"))
        yield tuple(found)
        hold.end()
