"""Stands between an engine and its worker, and garbles what the engine says for as long as a file is there.

`python noisy_pipe.py PYTHON ARGUMENT…` runs PYTHON with its own standard input, and ends as that ends. The variable
CHAOS_NOISE names the file. It starts with every engine, so it needs the standard library alone.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
from random import Random

NOISE = "CHAOS_NOISE"
PR_SET_PDEATHSIG = 1
LONG_BYTES = 17 * 2**20  # more than a worker reads in a line
JUNK = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"Segmentation fault (core dumped)",
    b"\xff\xfe\x00 no text",
    b'{"say":"sing"}',
    b'{"say":"refusal","message":"No."}',
    b'{"say":"result","job":"nobody","state":"done"}',
    b'{"say":"report","job":"nobody","phase":"dreaming","step":-1}',
    b'{"say":"report","job":"nobody","phase":"learning","losses":[NaN,null,1e999]}',
    b"[" * 100_000,
)


def main() -> None:
    """Pass lines on until the engine has ended."""
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    assert process.stdout
    chance, noise = Random(os.getpid()), os.environ[NOISE]
    for line in process.stdout:
        said = garbled(line, chance) if os.path.exists(noise) else line
        while said:
            said = said[os.write(1, said) :]
    code = process.wait()
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


def garbled(line: bytes, chance: Random) -> bytes:
    """A line of an engine as somebody else might hear it. What it says when it is ready is left whole."""
    way = chance.random()
    if way < 0.01:
        return b"x" * LONG_BYTES + b"\n" + line
    if way < 0.5:
        return chance.choice(JUNK) + b"\n" + line
    if way < 0.6 and b'"job"' in line:
        return line[: len(line) // 2] + b"\n"
    return re.sub(rb'"losses":\[[^\]]+\]', b'"losses":[null,NaN]', line) if way < 0.8 else line


def die_with_parent() -> None:
    """Have the kernel end the engine when this process ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
