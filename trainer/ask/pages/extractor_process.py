"""The process that reads strangers' files: `python -m trainer.ask.pages.extractor_process MEMORY_BYTES`.

It takes a line of JSON and the file behind it on stdin, and answers with one line of JSON on stdout. It gets no keys
and no settings; whoever started it kills it when it takes too long.
"""

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from storage.parent_death import die_with_parent
from trainer.ask.pages.extract import Extracted, extract

CRASHED = Extracted(trouble="cannot be read")


def serve(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answer until the other end closes the pipe."""
    while line := stdin.readline():
        header = json.loads(line)
        data = stdin.read(header["bytes"])
        answer = json.dumps(_extracted(header, data).as_json())
        stdout.write(answer.encode() + b"\n")
        stdout.flush()


def _extracted(header: dict[str, Any], data: bytes) -> Extracted:
    try:
        return extract(data, header["media_type"], header["charset"], header["url"])
    except MemoryError:
        return Extracted(trouble="takes too much memory to read", may_pass=True)
    except Exception:  # parsers of strangers' files raise anything; this process has nobody to tell
        return CRASHED


def _limit(memory_bytes: int) -> None:
    """Limit this process's memory, files and cores, as far as the system lets it."""
    limits = {resource.RLIMIT_AS: memory_bytes, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for name, value in limits.items():
        with suppress(OSError, ValueError):
            resource.setrlimit(name, (value, value))
    with suppress(OSError):
        os.nice(5)


def _load_libraries() -> None:
    import htmldate  # noqa: F401
    import pypdf  # noqa: F401
    import trafilatura  # noqa: F401


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    die_with_parent()
    _load_libraries()
    _limit(int(sys.argv[1]))
    pipe.write(b"ready\n")
    pipe.flush()
    serve(sys.stdin.buffer, pipe)
