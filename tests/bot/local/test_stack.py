"""The embedded queue and the children of a command: shared, and never left running."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from redis import Redis

from bot.connectors.terminal.screen import in_terminal
from bot.core.dispatch import Dispatch
from bot.local.children import Child
from bot.local.stack import Stack
from bot.local.valkey import Valkey
from bot.local.valkey_server import answers
from storage.errors import SetupError
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.reconcile import put_back
from storage.objects.folder import FolderStore
from storage.queue import broker
from storage.settings.bot import BotSettings
from tests.support.terminal import environment

WITHIN_S = 60
A_SERVER = (
    "import asyncio, sys; from pathlib import Path; from bot.local.valkey import Valkey\n"
    "async def main():\n"
    "    print((await Valkey.open(Path(sys.argv[1]))).url, flush=True)\n"
    "    await asyncio.sleep(60)\n"
    "asyncio.run(main())"
)


def client(valkey: Valkey) -> "Redis[bytes]":
    return Redis(unix_socket_path=valkey.url.removeprefix("unix://"))


def server_pid(url: str) -> int:
    with Redis(unix_socket_path=url.removeprefix("unix://")) as redis:
        return int(redis.info("server")["process_id"])


def wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_the_first_starts_a_queue_and_the_others_join(tmp_path: Path) -> None:
    first, second = await asyncio.gather(Valkey.open(tmp_path), Valkey.open(tmp_path))
    owner, guest = (first, second) if first.owned else (second, first)
    pid = server_pid(owner.url)
    assert (owner.owned, guest.owned, guest.url) == (True, False, owner.url)
    await guest.close()
    assert server_pid(owner.url) == pid
    await owner.close()
    assert gone(pid)
    assert {p.name for p in tmp_path.iterdir()} == {"appendonlydir", "owner.lock", "users.lock", "valkey.log"}


async def test_the_queue_is_kept_on_disk_and_offered_on_no_port(tmp_path: Path) -> None:
    first = await Valkey.open(tmp_path)
    with client(first) as redis:
        redis.set("kept", "1")
        settings = redis.config_get("*")
    await first.close()
    again = await Valkey.open(tmp_path)
    with client(again) as redis:
        assert redis.get("kept") == b"1"
    await again.close()
    assert (settings["port"], settings["appendonly"], settings["maxmemory-policy"]) == ("0", "yes", "noeviction")
    assert settings["unixsocketperm"] == "700"


@pytest.mark.parametrize("name", ["x" * 120, "my files", "50%"])
async def test_folders_that_no_socket_can_lie_in_get_one_elsewhere(tmp_path: Path, name: str) -> None:
    valkey = await Valkey.open(tmp_path / name)
    socket = Path(valkey.url.removeprefix("unix://"))
    assert tmp_path not in socket.parents
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    guest = await Valkey.open(tmp_path / name)
    assert guest.url == valkey.url
    await guest.close()
    await valkey.close()
    assert not socket.parent.exists()


async def test_the_owner_waits_for_the_others(tmp_path: Path) -> None:
    said: list[str] = []
    owner, guest = await Valkey.open(tmp_path), await Valkey.open(tmp_path)
    waiting = asyncio.create_task(owner.until_unused(said.append))
    await asyncio.sleep(0.5)
    assert not waiting.done() and len(said) == 1
    await guest.close()
    await waiting
    await owner.close()


@pytest.mark.parametrize("name", ["queue", "x" * 120])
async def test_what_stays_inherits_the_queue_at_the_same_address(tmp_path: Path, name: str) -> None:
    owner, guest = await Valkey.open(tmp_path / name), await Valkey.open(tmp_path / name)
    with client(owner) as redis:
        redis.set("kept", "1")
    heir = asyncio.create_task(guest.inherit())
    await asyncio.sleep(0.2)
    await owner.until_unused(lambda said: pytest.fail(said))
    await owner.close()
    await heir
    with client(guest) as redis:
        assert redis.get("kept") == b"1"
    assert (guest.owned, guest.url) == (True, owner.url)
    late = await Valkey.open(tmp_path / name)
    assert not late.owned
    await late.close()
    await guest.close()


def test_a_crashed_owner_takes_its_queue_along(tmp_path: Path) -> None:
    crashing = subprocess.Popen(
        [sys.executable, "-c", A_SERVER, tmp_path], stdout=subprocess.PIPE, text=True, env=environment(tmp_path)
    )
    with crashing:
        assert crashing.stdout
        url = crashing.stdout.readline().strip()
        pid = server_pid(url)
        crashing.kill()
    if sys.platform == "linux":  # elsewhere the next owner ends it
        wait_for(lambda: gone(pid))

    async def next_owner() -> None:
        valkey = await Valkey.open(tmp_path)
        assert valkey.owned and server_pid(valkey.url) != pid
        await valkey.close()

    asyncio.run(next_owner())
    assert gone(pid)


async def test_an_orphan_is_ended_before_a_new_queue_starts(tmp_path: Path) -> None:
    orphan = await Valkey.open(tmp_path)
    pid = server_pid(orphan.url)
    for lock in orphan._locks:  # as if the owner had crashed where the system lets its children live
        lock.close()
    valkey = await Valkey.open(tmp_path)
    assert valkey.owned and server_pid(valkey.url) != pid
    await orphan._child.stop()  # type: ignore[union-attr]
    await valkey.close()


async def test_a_queue_that_cannot_be_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="The queue cannot live in"):
        await Valkey.open(tmp_path / "file" / "queue")
    broken = tmp_path / "broken"
    (broken / "appendonlydir.damaged").mkdir(parents=True)
    (broken / "appendonlydir").write_text("no folder")  # and cannot be set aside either: the server may not write
    monkeypatch.setenv("PATH", str(fake_server(tmp_path)))
    with pytest.raises(SetupError, match=r"The embedded Valkey did not start: no memory\. .*delete that folder"):
        await Valkey.open(broken)
    assert not (broken / "address").exists() and (broken / "appendonlydir").read_text() == "no folder"


def fake_server(folder: Path) -> Path:
    """A folder with a server that ends at once, whatever it is given."""
    server = folder / "bin" / "valkey-server"
    server.parent.mkdir()
    server.write_text("#!/bin/sh\necho no memory\nexit 1\n")
    server.chmod(0o755)
    return server.parent


@pytest.mark.parametrize("junk", ["manifest", "log", "folder"])
async def test_a_queue_that_cannot_be_read_is_set_aside_and_filled_from_the_store(tmp_path: Path, junk: str) -> None:
    folder, store, said = tmp_path / "queue", FolderStore(tmp_path / "store"), list[str]()
    job = ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1)
    first = await Valkey.open(folder)
    redis = await broker.connect(first.url)
    await Dispatch(store, redis).accept(job)
    await redis.aclose()
    await first.close()
    damage_queue(folder / "appendonlydir", junk)
    again = await Valkey.open(folder, said.append)
    redis = await broker.connect(again.url)
    assert await redis.zcard(broker.queue_name("imagine")) == 0
    assert await put_back(store, redis) == [job.id]
    assert len(said) == 1 and str(folder / "appendonlydir.damaged") in said[0] and "starts empty" in said[0]
    assert (folder / "appendonlydir.damaged").exists()
    await redis.aclose()
    await again.close()
    third = await Valkey.open(folder, said.append)
    assert len(said) == 1
    await third.close()


@pytest.mark.parametrize(
    "junk", [b"\x00\xf7", b"unix://{}/notes.txt", b"unix://{}/queueXvalkey.sock", b"unix://{}/valkey.sock"]
)
async def test_a_damaged_address_costs_nothing_but_itself(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "notes.txt").write_text("of somebody")
    folder = tmp_path / "queue"
    folder.mkdir()
    (folder / "address").write_bytes(junk.replace(b"{}", os.fsencode(tmp_path)))
    queue = await Valkey.open(folder)
    assert queue.owned and answers(queue.url)
    await queue.close()
    assert (tmp_path / "notes.txt").read_text() == "of somebody"


def damage_queue(data: Path, junk: str) -> None:
    if junk == "manifest":
        (data / "appendonly.aof.manifest").write_text("nonsense")
    elif junk == "log":
        for file in data.glob("*.aof"):
            file.write_bytes(os.urandom(200) + file.read_bytes())
    else:
        shutil.rmtree(data)
        data.write_text("no folder")


async def test_a_worker_that_cannot_start_is_said_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_STORE", "/dev/null/store")
    said: list[str] = []
    why = r"No worker could be started: The store /dev/null/store cannot be used.*[^.]\. See .*worker.*\.log"
    with pytest.raises(SetupError, match=why):
        async with Stack(BotSettings(DARKROOM_HOME=tmp_path), said.append) as stack:
            pid = server_pid(stack.redis_url)
            await stack.worker_ready()
    assert said == ["Starting a worker."]
    assert gone(pid)


async def test_a_child_that_will_not_end_is_ended_with_its_own(tmp_path: Path) -> None:
    stubborn = f"trap '' TERM; {sys.executable} -c 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'; :"
    child = Child(["/bin/sh", "-c", stubborn], tmp_path / "log")
    wait_for(lambda: child.last_log_line() != "")
    grandchild = int(child.last_log_line())
    os.kill(child.pid, signal.SIGTERM)
    assert child.alive
    await child.stop(grace_s=0.2)
    wait_for(lambda: gone(grandchild))
    assert not child.alive


@pytest.mark.parametrize(
    ("chat", "terminal"),
    [
        ("There are none yet: /dreambooth train makes one.", "There are none yet: darkroom train makes one."),
        ("Send photos with /dreambooth train NAME CLASS.",
         "Send photos with darkroom train PHOTO… --name NAME --class CLASS."),
        ("Write [rex] in a prompt: /imagine a [rex] dog", 'Write [rex] in a prompt: darkroom imagine "a [rex] dog"'),
        ("There is no command /nonsense. Try /help.", "There is no command /nonsense. Try darkroom --help."),
    ],
)  # fmt: skip
def test_sentences_name_commands_as_the_terminal_takes_them(chat: str, terminal: str) -> None:
    assert in_terminal(chat) == terminal
