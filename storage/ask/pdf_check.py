"""Whether a PDF has text that can be read: found out in a process of its own, since strangers send them.

`python -m storage.ask.pdf_check` takes a file on stdin, and prints what is wrong with it, or nothing.
"""

import asyncio
import io
import logging
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path

from storage.child_processes import reap
from storage.parent_death import die_with_parent

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20.0
CPU_S = 30
MEMORY_BYTES = 1024 * 2**20  # of address space
PAGES_MAX = 50  # that are looked at for text
ENCRYPTED = "is encrypted: I cannot read it without its password"
DAMAGED = "is damaged, or no PDF"
SCAN = "has no text, only pictures of pages: it may be a scan"
ENVIRONMENT = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}
INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # without which some installations of Python do not start


async def pdf_trouble(data: bytes) -> str:
    """Why a PDF cannot be read, to be read after its name; empty if it can, or if that could not be found out."""
    environment = ENVIRONMENT | {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in (str(ROOT), *sys.path) if path)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "storage.ask.pdf_check", stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        log.error("no process that looks at a PDF can be started: %s", error)
        return ""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await process.communicate(data)
        trouble = said.decode(errors="replace").strip()
        return trouble if trouble in (ENCRYPTED, DAMAGED, SCAN) else ""
    except (TimeoutError, OSError):
        return ""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await reap(process)


def trouble_of(data: bytes) -> str:
    """The same, in this process; raises whatever a parser of strangers' files raises."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return ENCRYPTED
        has_text = any(page.extract_text().strip() for page in reader.pages[:PAGES_MAX])
        return "" if has_text or len(reader.pages) > PAGES_MAX else SCAN
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, NotImplementedError) as error:
        return ENCRYPTED if "crypt" in f"{type(error).__name__} {error}".lower() else DAMAGED


def main() -> None:
    """Check the file on stdin."""
    die_with_parent()
    limits = ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_CORE, 0))
    for name, value in limits:
        with suppress(OSError, ValueError):
            resource.setrlimit(name, (value, value))
    sys.stdout.write(trouble_of(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
