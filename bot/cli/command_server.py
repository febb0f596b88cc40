"""The command server: a process of `darkroom up` that has imported what commands need, and forks for each of them.

The fork runs the command as a process of its own would: with the streams, environment, folder and umask of who called,
and with settings and connections that it opens itself. Only the imports are saved.
"""

import fcntl
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from bot.cli.command_protocol import ACCEPTED, START, Call, is_same_account, socket_path, surroundings

LOOK_EVERY_S = 30.0  # whether the parent lives, where the kernel does not end children with it


def main() -> None:
    """Serve the commands of a DARKROOM_HOME, the only argument, until the parent process ends."""
    own = surroundings()  # before the imports: source files that change meanwhile are another version's
    _import_what_commands_need()
    try:
        listener = _listen(Path(socket_path(sys.argv[1])))
    except OSError as error:
        sys.exit(f"Commands will start more slowly, because {sys.argv[1]} cannot hold a socket: {error}.")
    gc.freeze()  # a collection would touch, and so copy, all memory that is shared with the forks
    _serve(listener, own)


def _import_what_commands_need() -> None:
    from bot.cli import commands  # noqa: F401
    from bot.connectors.terminal import connector  # noqa: F401
    from storage.settings.bot import BotSettings
    from storage.settings.shared import load_settings

    if load_settings(BotSettings).store_url.startswith("s3://"):
        from storage.objects import s3  # noqa: F401


def _listen(path: Path) -> socket.socket:
    """Listen on a socket that this account alone can reach, in the place of an older server's; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    listener = socket.socket(socket.AF_UNIX)
    new = path.with_name(f"socket-{os.getpid()}")
    new.unlink(missing_ok=True)
    listener.bind(str(new))
    listener.listen()
    new.replace(path)  # whoever finds it finds one that answers
    return listener


def _serve(listener: socket.socket, own: list[object]) -> None:
    """Fork for every connection."""
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, _reap)
    listener.settimeout(LOOK_EVERY_S)
    while os.getppid() == parent:
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            with connection, suppress(OSError):  # no more processes: who called runs the command
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    listener.close()
                    _run_in_fork(connection, own)


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run_in_fork(connection: socket.socket, own: list[object]) -> NoReturn:
    """Run what the connection calls for, and end this process, whatever happens."""
    status = 1
    try:
        if started := _start(connection, own):
            call, streams = started
            _take_over(connection, call, streams)
            status = _run(call.arguments)
            connection.send(bytes([status]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _start(connection: socket.socket, own: list[object]) -> tuple[Call, list[int]] | None:
    """Read a call, and accept it if it would do the same in this process; return it with its streams, once started."""
    from bot.cli.commands import SERVICES

    with suppress(OSError, ValueError, TypeError), connection.makefile("rb") as lines:
        call = Call(**json.loads(lines.readline())) if is_same_account(connection) else None
        if call and call.surroundings == own and not SERVICES & {*call.arguments[:1]}:
            os.chdir(call.folder)
            connection.send(b"%b%d" % (ACCEPTED, os.getpid()))
            started, streams, _, _ = socket.recv_fds(connection, 1, 3)
            return (call, streams) if started == START else None  # a signal, or the end of who called, comes first
    return None


def _take_over(connection: socket.socket, call: Call, streams: list[int]) -> None:
    """Become like the process that called."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.setsid()  # what ends the server with its children leaves us
    os.umask(call.umask)
    os.environ.clear()
    os.environ.update(call.environment)
    time.tzset()
    modes = ("r", "w", "w")
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, 1 if number == 2 else -1, encoding, errors, closefd=False)  # noqa: SIM115
        for number, (mode, (encoding, errors)) in enumerate(zip(modes, call.streams, strict=True))
    )
    # `up` may ignore these two; what the caller ignores never comes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # A service manager ends all processes of `darkroom up`. That is not the person's wish, so the job stays accepted.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    threading.Thread(target=_pass_signals_on, args=(connection,), daemon=True).start()


def _pass_signals_on(connection: socket.socket) -> None:
    """Receive the signals of the process that called; end with it."""
    if hasattr(fcntl, "F_SETSIG"):  # its end continues this process, if that was stopped
        fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGCONT)
        fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
    while number := connection.recv(1):
        # SIGTERM is the service manager's here; both end a command in the same way.
        os.kill(os.getpid(), signal.SIGHUP if number[0] == signal.SIGTERM else number[0])
    os.kill(os.getpid(), signal.SIGKILL)


def _run(arguments: list[str]) -> int:
    """Run a command, and end it as Python ends a program; return the exit status."""
    from bot.cli import commands

    sys.argv = ["darkroom", *arguments]
    try:
        status = commands.run(arguments)
    except KeyboardInterrupt:
        status = 130
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        with suppress(OSError):
            traceback.print_exc()
        status = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120  # with which Python itself ends where its output cannot be written
    return status & 0xFF


if __name__ == "__main__":
    main()
