"""Run `darkroom` as people do, in processes of its own; or many commands in one process, for speed.

As a program (`python -m tests.support.terminal`) it reads commands from standard input, each a line of JSON, and runs
them one after another through the real `main()`, each with its own environment, and prints what it said and left in
the store.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parents[2]
SHELL = [sys.executable, "-m", "tests.support.terminal"]


class Said(NamedTuple):
    """What one command did: exit status, the lines of its outputs, and which objects it left."""

    code: int
    out: str
    err: str
    left: list[str] = []

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object that `--json` promises, last on standard output."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a command: this one without settings of ours, a home of its own, and `settings`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DARKROOM_", "REDIS_", "AWS_"))}
    return {**kept, "DARKROOM_HOME": str(home), "PYTHONPATH": str(HERE), "COLUMNS": "200", **settings}


def start(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "bot.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        cwd=cwd,
    )


def darkroom(*arguments: str, env: dict[str, str], cwd: Path) -> Said:
    """Run a command to its end."""
    process = start(*arguments, env=env, cwd=cwd)
    out, err = process.communicate(timeout=240)
    return Said(process.returncode, out, err)


def darkrooms(commands: list[list[str]], env: dict[str, str], cwd: Path) -> list[Said]:
    """Run many commands in one process; words like NAME=value before a command are settings for it alone."""
    done = subprocess.run(
        SHELL,
        input="\n".join(map(json.dumps, commands)),
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return [Said(**json.loads(line)) for line in done.stdout.splitlines()]


def _run(words: list[str]) -> Said:
    from bot.cli.main import main

    settings = dict(word.split("=", 1) for word in words if "=" in word and word.split("=")[0].isupper())
    sys.argv = ["darkroom", *(word for word in words if word.split("=")[0] not in settings)]
    before = dict(os.environ)
    os.environ.update(settings)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os.environ.clear()
            os.environ.update(before)
    store = Path(os.environ["DARKROOM_HOME"]) / "store"
    left = sorted(str(p.relative_to(store)) for p in store.rglob("*") if p.is_file() and p.name != ".lock")
    return Said(code, out.getvalue(), err.getvalue(), left)


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))._asdict()) + "\n")
        sys.stdout.flush()
