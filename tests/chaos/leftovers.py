"""What a run has left beside the store: folders of work, files half written, logs that tell too much, processes."""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from storage.objects.transfers import PART
from trainer.worker.scratch import own_folder

TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)+(.+)", re.MULTILINE)
EXPECTED = re.compile(r"No space left on device|Errno 28")  # of a full disk, with the place where it was met


def folders_left(homes: Iterable[Path]) -> list[str]:
    """Folders of attempts, and files half written, that are there when the next worker has started in a home."""
    homes = [*homes]
    for home in homes:
        own_folder(home / "work")
    left = [path for home in homes for path in (home / "work").glob("*/*")]
    return [f"{path} is left" for path in (*left, *(part for home in homes for part in home.rglob(f"{PART}*")))]


def logs_tell(logs: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """Sentences about secrets and tracebacks in logs; the latter once for each last line."""
    problems, ends = [], Counter[str]()
    for path in (path for path in logs if path.exists()):
        text = path.read_text(errors="replace")
        problems += [f"{path.name} tells a secret" for secret in secrets if secret in text]
        ends.update(f"{path.name}: {found[1]}" for found in TRACEBACK.finditer(text) if not EXPECTED.search(found[1]))
    return problems + [f"{count} traceback(s) in {end}" for end, count in ends.items()]


def processes_left(model: Path) -> list[str]:
    """Processes that still have to do with the deployment, which is told by its base model."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(part.startswith(str(model)) for part in process.cmdline()):
                left.append(f"process {process.pid} is left: {' '.join(process.cmdline())[:200]}")
    return left
