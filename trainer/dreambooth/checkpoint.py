"""Checkpoints: a training's whole state in a file, written beside the training so that it hardly waits."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

log = logging.getLogger(__name__)

SHARE = 0.02  # of its time that a training may stand still for its checkpoints


class Checkpointer:
    """Writes checkpoints of one training into a folder: every so many seconds, rarer where copying takes long."""

    def __init__(
        self, folder: Path, every_s: float, of: dict[str, str], on_written: Callable[[int, Path], None]
    ) -> None:
        """`of` says which training this is, for `read`; `on_written` hears of each file, in a thread of its own."""
        self.folder, self.every_s, self.of, self.on_written = folder, every_s, of, on_written
        self.newest: Path | None = None  # that is whole
        self._last_s, self._copying_s = time.monotonic(), 0.0
        self._writing: threading.Thread | None = None

    def after(self, step: int, copied: Callable[[], dict[str, Tensor]]) -> None:
        """Write a checkpoint in the background, if it is time and the one before is written."""
        # Copying takes seconds where a model is large: then checkpoints are rarer, and cost no more than their share.
        due_s = max(self.every_s, self._copying_s / SHARE)
        if time.monotonic() - self._last_s >= due_s and not (self._writing and self._writing.is_alive()):
            self.write(step, copied)

    def write(self, step: int, copied: Callable[[], dict[str, Tensor]]) -> None:
        """Copy the state after a step, which the next will change, and write the copy in the background."""
        # Two copies at once may be more than the memory of the machine holds.
        self.finish()
        began_s = time.monotonic()
        # Copied here and not in the thread: the next step changes these tensors.
        copy = copied()
        self._last_s = time.monotonic()
        self._copying_s = self._last_s - began_s
        self._writing = threading.Thread(target=self._write, args=(step, copy), daemon=True)
        self._writing.start()

    def finish(self) -> None:
        """Wait for what is being written."""
        if self._writing:
            self._writing.join()

    def _write(self, step: int, state: dict[str, Tensor]) -> None:
        path = self.folder / f"checkpoint-{step}.safetensors"
        try:
            save_file(state, path, self.of)
        except (OSError, SafetensorError) as error:  # a full disk: the training itself can do without
            log.warning("no checkpoint at step %d: %s", step, error)
            path.unlink(missing_ok=True)
        else:
            self.newest = path
            self.on_written(step, path)


def read(path: Path, of: dict[str, str]) -> dict[str, Tensor] | None:
    """The state in a checkpoint; None if it is of another training: the recipe or the base model may have changed."""
    with safe_open(path, "pt") as file:
        if file.metadata() != of:
            return None
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
