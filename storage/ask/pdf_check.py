"""Whether a PDF has text that can be read: found out in a process of its own, since strangers send them.

`python -m storage.ask.pdf_check` takes a file on stdin, and prints what is wrong with it, or nothing.
"""

import asyncio
import io
import logging
import resource
import sys
from asyncio.subprocess import DEVNULL
from contextlib import suppress

from storage.child_processes import kill_and_reap, start_module
from storage.parent_death import die_with_parent

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0
CPU_S = 30
MEMORY_BYTES = 1024 * 2**20  # of address space
PAGES_MAX = 50  # that are looked at for text
ENCRYPTED = "is encrypted: I cannot read it without its password"
DAMAGED = "is damaged, or no PDF"
SCAN = "has no text, only pictures of pages: it may be a scan"


async def pdf_trouble(data: bytes) -> str:
    """Why a PDF cannot be read, to be read after its name; empty if it can, or if that could not be found out."""
    try:
        process = await start_module("storage.ask.pdf_check", stderr=DEVNULL)
    except OSError as error:
        log.error("no process that looks at a PDF can be started: %s", error)
        return ""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer, _ = await process.communicate(data)
        trouble = answer.decode(errors="replace").strip()
        return trouble if trouble in (ENCRYPTED, DAMAGED, SCAN) else ""
    except (TimeoutError, OSError):
        return ""
    finally:
        if process.returncode is None:
            await kill_and_reap(process)


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
