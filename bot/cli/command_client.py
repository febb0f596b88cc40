"""Run a command in the command server of its DARKROOM_HOME, where one runs: that process has imported everything."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bot.cli.command_protocol import ACCEPTED, START, Call, is_private, is_same_account, socket_path, surroundings

ANSWER_S = 2.0  # after that it is quicker to run the command here
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LOST = "The process that ran this command ended without a result. No accepted job is lost: `darkroom jobs` lists them."


def run(arguments: list[str]) -> int | None:
    """Have the command server run a command on this terminal; return its exit status.

    None if there is none, or none that would do the same as this process: then nothing has begun.
    """
    try:
        connection, fork = _connect(arguments)
    except (OSError, RuntimeError, ValueError):
        return None
    status = b""
    with connection, _signals_passed_on(connection, fork) as signals, suppress(OSError):
        socket.send_fds(connection, [START], [0, 1, 2])
        status = connection.recv(1)
    if status:
        return status[0]
    if signals:  # it had no handler for it, and so ended as this process would have
        signal.signal(signals[-1], signal.SIG_DFL)
        os.kill(os.getpid(), signals[-1])
    sys.stderr.write(f"{LOST}\n")
    return 1


def _connect(arguments: list[str]) -> tuple[socket.socket, int]:
    """Connect to a server that accepts the command; return the process id of its fork, too.

    Raises OSError where there is none, ValueError for streams that cannot be handed over, and RuntimeError without a
    home folder.
    """
    streams = _streams()
    path = socket_path(_home())
    if not is_private(os.path.dirname(path)):
        raise PermissionError(path)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ANSWER_S)
        connection.connect(path)
        if not is_same_account(connection):
            raise PermissionError(path)
        call = Call(surroundings(), arguments, os.getcwd(), _umask(), dict(os.environ), streams)
        connection.sendall(json.dumps(call._asdict()).encode() + b"\n")
        answer = connection.recv(100)
        if not answer.startswith(ACCEPTED):
            raise ConnectionRefusedError(path)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection, int(answer.removeprefix(ACCEPTED))


def _home() -> str:
    """The DARKROOM_HOME, as far as that is known without reading all settings.

    A wrong one costs time and nothing else: the command reads its settings itself, wherever it runs.
    """
    if home := os.environ.get("DARKROOM_HOME"):
        return home
    from platformdirs import user_data_path

    return str(user_data_path("darkroom", appauthor=False))


def _streams() -> list[list[str]]:
    """Encoding and error handler of the standard streams; raises ValueError if they are not those of the process."""
    streams = [sys.stdin, sys.stdout, sys.stderr]
    if None in streams or [stream.fileno() for stream in streams] != [0, 1, 2]:
        raise ValueError("streams that only this process can use")
    if _is_in_background():
        raise ValueError("a terminal that others read")
    return [[stream.encoding, stream.errors or "strict"] for stream in streams]


def _is_in_background() -> bool:
    """Whether reading standard input would stop this process, where a fork would take what others are to read."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:  # it is not the terminal of this session
        return False


def _umask() -> int:
    """The umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def _signals_passed_on(connection: socket.socket, fork: int) -> Iterator[list[int]]:
    """Pass signals on to the command, but those that are ignored here, by nohup say; gives those that came.

    Ctrl-Z stops both processes.
    """
    signals: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        signals.append(number)
        with suppress(OSError):
            connection.send(bytes([number]))

    def stop(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(fork, signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # returns when this process is continued
        signal.signal(number, stop)
        with suppress(ProcessLookupError):
            os.kill(fork, signal.SIGCONT)

    before = {number: signal.getsignal(number) for number in (*PASSED_ON, signal.SIGTSTP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop if number == signal.SIGTSTP else pass_on)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
