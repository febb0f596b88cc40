"""How processes of the trainer start: with the import of PyTorch and what is built on it, which takes seconds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fast_import() -> Iterator[None]:
    """Import in this context: half a million objects come to stay, and to look for garbage among them takes a fifth."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
