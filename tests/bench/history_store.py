"""Stores that count requests, and a history of finished jobs to fill them with."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aiohttp
import boto3

from storage.contract.jobs import job_key
from storage.contract.outcomes import Picture, outcome_key
from storage.contract.subjects import Subject, name_key, subject_key
from storage.ids import id_at
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.lifecycle.index_backfill import build_indexes
from storage.lifecycle.job_index import entries_of
from storage.objects.folder import FolderStore
from storage.objects.s3 import S3Store
from storage.objects.store import Store
from tests.servers.backing import SECRET, moto_server, s3_environment

T = TypeVar("T")
MINE, OTHERS = "local", 50  # my space, and how many there are besides
YEAR_S = 365 * 24 * 3600.0
FILLING = 32  # jobs that are written at once


class CountedFolder(FolderStore):
    """A folder store that counts what is asked of it."""

    requests = 0

    async def _run(self, function: Callable[..., T], key: str, *arguments: object) -> T:
        self.requests += 1
        return await super()._run(function, key, *arguments)


class CountedS3(S3Store):
    """An S3 store that counts the requests that go out, each page of a listing and each part of an upload."""

    requests = 0

    def count(self) -> "CountedS3":
        """Begin to count."""
        self.client.meta.events.register("before-send.s3", self._one)
        return self

    def _one(self, **_: Any) -> None:
        self.requests += 1


Counted = CountedFolder | CountedS3


@contextmanager
def s3_server(port: int = 18333) -> Iterator[tuple[str, str]]:
    """Run an S3 server, SeaweedFS if `weed` is in the path, else moto; yields its name and URL."""
    if not (weed := shutil.which("weed")):
        with moto_server() as url:
            yield "moto", url
        return
    with tempfile.TemporaryDirectory() as folder:
        ports = [f"-{name}.port={port + 1 + k}" for k, name in enumerate(("master", "volume", "filer"))]
        command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3", f"-s3.port={port}", *ports]
        command += ["-volume.max=8", "-master.volumeSizeLimitMB=512"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield "SeaweedFS", f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(5)  # the gateway listens before what is behind it does
                return
        time.sleep(0.2)
    raise RuntimeError(f"no S3 server came on port {port}")


def counted_s3(url: str) -> CountedS3:
    """A fresh bucket; the environment comes to say how to reach it."""
    os.environ |= s3_environment(url)
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="tests", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="history")
    return CountedS3.from_url("s3://history").count()  # type: ignore[attr-defined, no-any-return]


Put = Callable[[str, bytes], Awaitable[None]]


@asynccontextmanager
async def quickly(store: Store) -> AsyncIterator[Put]:
    """Give what writes objects without a count, without signatures and without waiting for the disk."""
    if isinstance(store, S3Store):
        where = f"{store.client.meta.endpoint_url}/{store.bucket}/{store.root}"
        async with aiohttp.ClientSession() as session:

            async def put(key: str, data: bytes) -> None:
                async with session.put(where + key, data=data) as answer:
                    answer.raise_for_status()

            yield put
        return
    assert isinstance(store, FolderStore)
    root = store.root

    async def write(key: str, data: bytes) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    yield write


async def fill(store: Store, done: int, jobs: int, mine: int = 20) -> None:
    """Write finished jobs number `done` to `jobs`, of a year; of the first twenty all are mine."""
    await build_indexes(store, float("inf"))
    async with quickly(store) as put:
        for start in range(done, jobs, FILLING):
            numbers = range(start, min(start + FILLING, jobs))
            await asyncio.gather(*(_finished(put, number, number < mine) for number in numbers))


async def _finished(put: Put, number: int, is_mine: bool) -> None:
    made_s = time.time() - 2 * 24 * 3600 - (number * 7919 % 20_000) / 20_000 * YEAR_S
    new_id, space, subject = f"{id_at(made_s)[:12]}{number:08x}", MINE if is_mine else f"space-{number % OTHERS}", None
    if number % 20 == 19 and not is_mine:
        subject = Subject(
            id=new_id, space=space, owner="o", name=f"s{number}", noun="dog", base_model="m", state="ready"
        )
        await put(subject_key(subject.id), subject.model_dump_json().encode())
        await put(name_key(space, subject.name), subject.id.encode())
    await finish(put, drawing(new_id, space, subject and subject.id))


def drawing(job: str, space: str, subject: str | None = None) -> ImagineJob:
    """A job that drew a picture."""
    return ImagineJob(
        id=job,
        space=space,
        owner="you",
        said="/imagine a dog in Paris",
        prompt="a dog in Paris",
        model_prompt="a dog in Paris",
        seed=1,
        count=1,
        subjects=(subject,) if subject else (),
    )


async def finish(put: Put, job: ImagineJob) -> None:
    """Write a job as it is once it is done and settled."""
    picture = Picture(key=f"jobs/{job.id}/attempt-1-aaaaaaaa/1.png", width_px=64, height_px=64, seed=1)
    outcome = ImagineOutcome(job=job.id, state="done", message="a dog in Paris", seconds=3, pictures=(picture,))
    for key in entries_of(job)[:-1]:
        await put(key, b"")
    await put(job_key(job.id), job.model_dump_json().encode())
    await put(picture.key, b"a picture")
    await put(outcome_key(job.id), outcome.model_dump_json().encode())
