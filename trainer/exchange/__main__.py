"""Export or import one subject: `python -m trainer.exchange`, a request on standard input (storage/exchange.py)."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from storage.errors import SetupError, UserError
from storage.exchange import REQUESTS, Doing, Ended, ExportRequest, ImportRequest
from storage.logs import log_to
from trainer.exchange.foreign_files import open_foreign
from trainer.starting import importing


def main() -> None:
    """Read a request, do it, and say how it ended."""
    log_to(None, logging.WARNING, "exchange %(levelname)s %(message)s")
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not end up between our lines
    request = REQUESTS.validate_json(sys.stdin.read())

    def doing(what: str) -> None:
        out.write(Doing(what=what).model_dump_json() + "\n")

    try:
        ended = _exported(request, doing) if isinstance(request, ExportRequest) else _imported(request, doing)
    except UserError as error:
        ended = Ended(state="refused", says=str(error))
    except SetupError as error:
        ended = Ended(state="failed", says=str(error))
    except (OSError, SafetensorError) as error:  # a disk that is full, above all
        ended = Ended(state="failed", says=f"The files cannot be written: {error}.")
    out.write(ended.model_dump_json() + "\n")


def _exported(request: ExportRequest, doing: Callable[[str], None]) -> Ended:
    with importing():
        from trainer.exchange.exporting import export
    return Ended(state="done", says=export(request, doing))


def _imported(request: ImportRequest, doing: Callable[[str], None]) -> Ended:
    open_foreign(Path(request.file))  # what is no file of weights is refused before the wait for PyTorch
    with importing():
        from trainer.exchange.importing import import_file
    return import_file(request, doing)


if __name__ == "__main__":
    main()
