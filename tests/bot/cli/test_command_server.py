"""Commands beside `darkroom up`: run in a fork of its command server, they do what they do alone, and import little."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from redis import Redis

from bot.cli.command_protocol import socket_path
from bot.cli.commands import SERVICES
from storage.kinds import KINDS
from storage.queue.broker import queue_name
from storage.queue.worker_registry import worker_key, workers_key
from tests.servers.backing import valkey
from tests.support.terminal import HERE, Said, environment, start

pytestmark = pytest.mark.timeout(300)
WITHIN_S = 120
COMMANDS = {
    "a list": ["jobs"],
    "a list as JSON": ["documents", "--json"],
    "a wrong argument": ["imagine", "a dog", "--count", "x"],
    "a wrong option as JSON": ["imagine", "a dog", "--colour", "red", "--json"],
    "a relative path": ["train", "photos/none.jpg", "--name", "rex", "--class", "dog"],
    "a file of the folder": ["train", "notes.md", "--name", "rex", "--class", "dog", "--json"],
    "a setting of the environment": ["settings", "--json"],
    "help": ["imagine", "--help"],
}


@pytest.fixture(scope="module")
def queue() -> Iterator[str]:
    """A Redis in which workers seem to live, so that jobs wait for good."""
    with valkey() as url:
        with Redis(unix_socket_path=url.removeprefix("unix://")) as redis:
            for kind in KINDS:
                redis.set(worker_key("nobody", kind), b"")
                redis.zadd(workers_key(kind), {"nobody": 0})
        yield url


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A DARKROOM_HOME with a short path, as a socket needs it."""
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def env(queue: str, home: Path) -> dict[str, str]:
    """The environment of every command."""
    return environment(home, REDIS_URL=queue, DARKROOM_PORT="0")


@pytest.fixture(scope="module")
def up(home: Path, env: dict[str, str]) -> Iterator[psutil.Process]:
    """`darkroom up` without a worker, with its command server."""
    process = start("up", "--no-worker", env=env, cwd=home)
    try:
        wait_for_server(home, process)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=WITHIN_S)


@contextmanager
def command_server(home: Path, env: dict[str, str], code: Path = HERE) -> Iterator[psutil.Process]:
    """A command server alone."""
    command = [sys.executable, "-m", "bot.cli.command_server", str(home)]
    process = subprocess.Popen(command, env={**env, "PYTHONPATH": str(code)}, cwd=code, stderr=subprocess.PIPE)
    try:
        wait_for_server(home, process)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def wait_for_server(home: Path, process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if not probe.connect_ex(socket_path(str(home))):
                return
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=10))


TIMED = "import time:"


def imports_of(*words: str, env: dict[str, str], cwd: Path) -> tuple[Said, set[str]]:
    """Run a command; what it said, and the top-level packages that its own process imported."""
    command = [sys.executable, "-X", "importtime", "-m", "bot.cli.main", *words]
    done = subprocess.run(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN_S
    )
    said = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith(TIMED)]
    return Said(done.returncode, done.stdout, "".join(said)), modules_in(done.stderr)


def modules_in(times: str) -> set[str]:
    """The top-level packages in what `-X importtime` writes, whose first line is the head of its table."""
    lines = [line for line in times.splitlines() if line.startswith(TIMED)][1:]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def is_served(imports: set[str]) -> bool:
    return "typer" not in imports


def waiting(home: Path, env: dict[str, str]) -> "subprocess.Popen[str]":
    """A command whose job was accepted, and waits."""
    process = start("imagine", "a dog", "--json", env=env, cwd=home)
    assert process.stderr
    assert process.stderr.readline().strip() == "Waiting for a worker"
    return process


def fork_of(server: psutil.Process) -> psutil.Process:
    """The process that runs the one command, which is below `up` or the command server."""
    forks = [child for child in server.children(recursive=True) if "bot.cli.command_server" in child.cmdline()]
    return forks[-1]


def queued(queue: str) -> int:
    with Redis(unix_socket_path=queue.removeprefix("unix://")) as redis:
        count: int = redis.zcard(queue_name("imagine"))
        return count


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_says_the_same_as_alone(case: str, up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    folder = home / "work"
    folder.mkdir(exist_ok=True)
    (folder / "notes.md").write_text("no picture")
    env = {**env, "DARKROOM_LEASE_S": "17", "COLUMNS": "93", "TZ": "Asia/Tokyo"}
    served, imported = imports_of(*COMMANDS[case], env=env, cwd=folder)
    assert is_served(imported)
    (home / "commands").chmod(0o755)
    try:
        alone, imported = imports_of(*COMMANDS[case], env=env, cwd=folder)
    finally:
        (home / "commands").chmod(0o700)
    assert not is_served(imported), "a folder that others may enter is not trusted"
    seconds = re.compile(r'"seconds": [\d.]+')
    assert (served.code, seconds.sub("", served.out), served.err) == (alone.code, seconds.sub("", alone.out), alone.err)


def test_a_served_command_imports_little(up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    said, imported = imports_of("jobs", env=env, cwd=home)
    assert said.code == 0
    # What Python imports at each start, whatever runs: an editable installation adds a finder.
    command = [sys.executable, "-X", "importtime", "-c", ""]
    bare = modules_in(subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=True).stderr)
    assert imported - bare - sys.stdlib_module_names == {"bot", "storage"}
    imported -= bare
    assert not imported & {"asyncio", "dataclasses", "inspect", "logging", "pathlib", "subprocess", "urllib"}


@pytest.mark.parametrize(
    ("words", "output"), [("imagine --help", "pipe"), ("settings --json", "pipe"), ("settings --json", "/dev/full")]
)
def test_output_that_cannot_be_written_ends_a_command_as_alone(
    words: str, output: str, up: psutil.Process, home: Path, env: dict[str, str]
) -> None:
    def ends() -> tuple[int, str]:
        stdout = pipe_without_a_reader() if output == "pipe" else os.open(output, os.O_WRONLY)
        command = [sys.executable, "-m", "bot.cli.main", *words.split()]
        done = subprocess.run(command, env=env, cwd=home, stdout=stdout, stderr=subprocess.PIPE, timeout=WITHIN_S)
        os.close(stdout)
        return done.returncode, done.stderr.decode()

    env = {**env, "PYTHONUNBUFFERED": ""}
    code, err = ends()
    (home / "commands").chmod(0o755)
    try:
        code_alone, err_alone = ends()
    finally:
        (home / "commands").chmod(0o700)
    assert code == code_alone == (1 if output == "pipe" else 120)
    assert "ended without a result" not in err
    if output == "pipe":
        assert err == err_alone == ""


def pipe_without_a_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_takes_the_job_back(
    number: signal.Signals, up: psutil.Process, home: Path, env: dict[str, str], queue: str
) -> None:
    process = waiting(home, env)
    assert psutil.Process(process.pid).children() == []
    process.send_signal(number)
    out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, json.loads(out)["state"], err.strip()) == (130, "cancelled", "Stopping.")
    assert queued(queue) == 0


def test_a_command_that_is_killed_is_gone_and_its_job_stays(
    up: psutil.Process, home: Path, env: dict[str, str], queue: str
) -> None:
    process = waiting(home, env)
    fork = fork_of(up)
    process.kill()
    process.communicate()
    fork.wait(WITHIN_S)
    assert queued(queue) == 1
    cancel_all(home, env)


def test_ctrl_z_stops_both_processes(up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "bot.cli.main", "imagine", "a dog", "--json"]
    # as a shell starts it: in a process group of its own, in the shell's session
    process = subprocess.Popen(command, env=env, cwd=home, stderr=subprocess.PIPE, text=True, process_group=0)
    assert process.stderr
    assert process.stderr.readline().strip() == "Waiting for a worker"
    fork, client = fork_of(up), psutil.Process(process.pid)
    for _ in range(2):
        process.send_signal(signal.SIGTSTP)
        wait_until(lambda: fork.status() == client.status() == psutil.STATUS_STOPPED)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: psutil.STATUS_STOPPED not in (fork.status(), client.status()))
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: fork.status() == client.status() == psutil.STATUS_STOPPED)
    process.kill()
    process.communicate()
    if sys.platform == "linux":
        fork.wait(WITHIN_S)  # it is continued, and ends
    else:
        fork.kill()
    cancel_all(home, env)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def cancel_all(home: Path, env: dict[str, str]) -> None:
    """Leave no job behind."""
    said, _ = imports_of("jobs", "--json", env=env, cwd=home)
    for row in said.result["jobs"]:
        if row["state"] == "open":
            imports_of("cancel", row["job"], env=env, cwd=home)


def test_a_command_goes_on_when_the_server_dies(env: dict[str, str]) -> None:
    with short_home() as home, command_server(home, env) as server:
        process = waiting(home, at(home, env))
        server.kill()
        server.wait(WITHIN_S)
        said, imported = imports_of("jobs", "--json", env=at(home, env), cwd=home)
        assert not is_served(imported), "nobody listens any more"
        assert [row["state"] for row in said.result["jobs"]] == ["open"]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, json.loads(out)["state"]) == (130, "cancelled")


def test_a_service_manager_that_ends_all_leaves_the_job(env: dict[str, str], queue: str) -> None:
    with short_home() as home, command_server(home, env) as server:
        process = waiting(home, at(home, env))
        fork_of(server).terminate()
        out, err = process.communicate(timeout=WITHIN_S)
        assert (process.returncode, out) == (1, "")
        assert err.strip() == (
            "The process that ran this command ended without a result. No accepted job is lost: `darkroom jobs` lists "
            "them."
        )
        assert queued(queue) == 1
        cancel_all(home, at(home, env))


def test_a_signal_that_is_ignored_stays_ignored(up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    command = [shutil.which("nohup") or "nohup", sys.executable, "-m", "bot.cli.main", "imagine", "a dog", "--json"]
    process = subprocess.Popen(
        command, env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    while process.stderr.readline().strip() != "Waiting for a worker":
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    said, _ = imports_of("jobs", "--json", env=env, cwd=home)
    assert said.result["jobs"][0]["state"] == "open"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, json.loads(out)["state"]) == (130, "cancelled")


def test_a_server_that_does_not_answer_is_done_without(env: dict[str, str]) -> None:
    with short_home() as home, command_server(home, env) as server:
        server.suspend()
        (home / "notes.md").write_text("Rex is a dog.")
        added, imported = imports_of("documents-add", "notes.md", env=at(home, env), cwd=home)
        assert (added.code, is_served(imported)) == (0, False), added.err
        server.resume()
        said, imported = imports_of("documents", "--json", env=at(home, env), cwd=home)
        assert is_served(imported)
        assert "notes.md" in said.out
        psutil.wait_procs(server.children(), timeout=WITHIN_S)
        assert server.children() == [], "what was called meanwhile has not begun"


def test_a_server_of_another_version_is_done_without(env: dict[str, str], tmp_path: Path) -> None:
    for package in ("bot", "storage"):
        shutil.copytree(HERE / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "storage" / "__init__.py").write_text('"""Another."""\n\n__version__ = "99.0"\n')
    with short_home() as home, command_server(home, env, tmp_path):
        said, imported = imports_of("jobs", env=at(home, env), cwd=home)
        assert (said.code, is_served(imported)) == (0, False)
        env = at(home, env) | {"PYTHONPATH": str(tmp_path)}
        said, imported = imports_of("--version", env=env, cwd=tmp_path)
        assert (said.out, is_served(imported)) == ("darkroom 99.0\n", True)
        (tmp_path / "storage" / "text.py").touch()
        said, imported = imports_of("--version", env=env, cwd=tmp_path)
        assert (said.out, is_served(imported)) == ("darkroom 99.0\n", False), "its source has changed since"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_account_is_not_served(up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    path = Path(socket_path(str(home)))
    code = f"""
import os, socket
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout({WITHIN_S})
connection.connect({str(path)!r})
print(connection.recv(1))  # who is let in is waited for
"""
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "PermissionError" in refused.stderr
    home.chmod(0o755)
    path.parent.chmod(0o755)
    path.chmod(0o777)
    try:
        ignored = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        path.parent.chmod(0o700)
    assert (ignored.stdout, ignored.stderr) == ("b''\n", "")


def test_a_question_is_asked_on_a_terminal(up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bot.cli.main", "forget", "rex"]
    process = subprocess.Popen(command, env=env, cwd=home, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(ours, 1000)
    os.write(ours, b"n\n")
    while b"Nothing was changed." not in seen:
        seen += os.read(ours, 1000)
    assert process.wait(WITHIN_S) == 0
    os.close(ours)


def test_a_command_in_the_background_leaves_the_terminal_to_others(
    up: psutil.Process, home: Path, env: dict[str, str]
) -> None:
    code = """
import os, signal, subprocess, sys
process = subprocess.Popen([sys.executable, "-m", "bot.cli.main", "forget", "rex"], process_group=0)
_, status = os.waitpid(process.pid, os.WUNTRACED)
print("stopped by", signal.Signals(os.WSTOPSIG(status)).name, flush=True)
process.kill()
"""
    process_id, ours = pty.fork()
    if not process_id:
        os.chdir(home)
        os.execve(sys.executable, [sys.executable, "-c", code], env)
    seen = b""
    with suppress(OSError):  # with which a terminal says that nobody has it open
        while data := os.read(ours, 1000):
            seen += data
    os.waitpid(process_id, 0)
    os.close(ours)
    assert b"stopped by SIGTTIN" in seen, seen


def test_a_command_with_a_preloaded_library_runs_alone(up: psutil.Process, home: Path, env: dict[str, str]) -> None:
    said, imported = imports_of("jobs", env={**env, "LD_PRELOAD": "libc.so.6"}, cwd=home)
    assert (said.code, is_served(imported)) == (0, False), "it may be what leads all connections through a proxy"


def test_what_runs_until_it_is_stopped_has_a_process_of_its_own() -> None:
    assert {"demo", "up", "web", "discord", "slack", "worker"} == SERVICES


@contextmanager
def short_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:
        yield Path(folder)


def at(home: Path, env: dict[str, str]) -> dict[str, str]:
    return {**env, "DARKROOM_HOME": str(home)}
