"""Export or import one subject: `python -m trainer.conversion`, with a `Request` of `storage.contract.conversion`."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from storage.contract.conversion import REQUESTS, ConversionProgress, ConversionResult, ExportRequest, ImportRequest
from storage.errors import SetupError, UserError
from storage.logs import log_to
from trainer import threads
from trainer.conversion.file_formats import open_foreign
from trainer.fast_import import fast_import


def main() -> None:
    """Read a request, do it, and say how it ended."""
    threads.set_up()
    log_to(None, logging.WARNING, "exchange %(levelname)s %(message)s")
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not end up between our lines
    request = REQUESTS.validate_json(sys.stdin.read())

    def doing(what: str) -> None:
        out.write(ConversionProgress(what=what).model_dump_json() + "\n")

    try:
        ended = _exported(request, doing) if isinstance(request, ExportRequest) else _imported(request, doing)
    except UserError as error:
        ended = ConversionResult(state="refused", says=str(error))
    except SetupError as error:
        ended = ConversionResult(state="failed", says=str(error))
    except (OSError, SafetensorError) as error:  # a disk that is full, above all
        ended = ConversionResult(state="failed", says=f"The files cannot be written: {error}.")
    out.write(ended.model_dump_json() + "\n")


def _exported(request: ExportRequest, doing: Callable[[str], None]) -> ConversionResult:
    with fast_import():
        from trainer.conversion.exporter import export
    return ConversionResult(state="done", says=export(request, doing))


def _imported(request: ImportRequest, doing: Callable[[str], None]) -> ConversionResult:
    open_foreign(Path(request.file))  # what is no file of weights is refused before the wait for PyTorch
    with fast_import():
        from trainer.conversion.importer import import_file
    return import_file(request, doing)


if __name__ == "__main__":
    main()
