"""Measure the CPU time that the terminal takes around a drawing: `python -m tests.bench.terminal [ROUNDS]`.

Beside a `darkroom up` with Toyworld, `darkroom imagine "a dog" -n 1` runs in the command server and by itself in turns.
Counts user and system time of the command's process and, where there is one, of the fork that runs it. Prints JSON.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bot.cli.command_protocol import socket_path
from tests.support.terminal import environment, start

COMMAND = [sys.executable, "-m", "bot.cli.main", "imagine", "a dog", "-n", "1", "--out", "pictures"]
ROUNDS = 5


@contextmanager
def running(home: Path, env: dict[str, str]) -> Iterator[psutil.Process]:
    """Run `darkroom up`; gives its command server."""
    process = start("up", env=env, cwd=home)
    try:
        while not Path(socket_path(str(home))).exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        family = psutil.Process(process.pid).children()
        yield next(child for child in family if "bot.cli.command_server" in child.cmdline())
    finally:
        process.terminate()
        process.communicate()


def one_round(env: dict[str, str], home: Path, server: psutil.Process) -> dict[str, float]:
    """Run the command once; CPU time in seconds of its process and of the fork."""
    ours, before = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu_times()
    subprocess.run(COMMAND, env=env, cwd=home, check=True, capture_output=True)
    while server.children():
        time.sleep(0.01)
    now, after = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu_times()
    fork_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"process": now.ru_utime + now.ru_stime - ours.ru_utime - ours.ru_stime, "fork": fork_s}


def measure(rounds: int, home: Path) -> dict[str, dict[str, float]]:
    """Medians of the rounds, served and alone, after a round of each that does not count."""
    env = {**environment(home), "DARKROOM_PORT": "0"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    taken: dict[str, list[dict[str, float]]] = {"served": [], "alone": []}
    with running(home, env) as server:
        for _ in range(rounds + 1):
            for how, samples in taken.items():
                (home / "commands").chmod(0o700 if how == "served" else 0o755)  # the second is not trusted
                samples.append(one_round(env, home, server))
    return {
        how: {part: round(statistics.median(sample[part] for sample in samples[1:]), 2) for part in samples[0]}
        for how, samples in taken.items()
    }


def main() -> None:
    """Start a deployment, measure, print JSON."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="dr-") as home:
        print(json.dumps(measure(int((sys.argv[1:] or [ROUNDS])[0]), Path(home)), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
