"""Previews of one drawing: a small JPEG now and then, of all pictures under way, at a bounded share of the time."""

import logging
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

from torch import Tensor

from trainer.diffusion.preview import contact_sheet
from trainer.diffusion.sampling import Drawing
from trainer.engine.host import Host

log = logging.getLogger(__name__)

EVERY_S = 0.5  # between two previews at least
SHARE = 0.015  # of a drawing's time that they may take
QUALITY = 75


class PreviewWriter:
    """Writes previews into the folder of a task, each in place of an earlier one."""

    def __init__(self, host: Host, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.host, self.folder, self.clock = host, folder, clock
        self._made, self._due_s = 0, 0.0

    def next(self, drawing: Drawing) -> str | None:
        """Path of a new preview; None where none is due, or nothing is known of the pictures yet.

        The first time this only asks for what the next step predicts. Whatever goes wrong costs the preview alone.
        """
        denoising, began_s = drawing.denoising, self.clock()
        if denoising is None or began_s < self._due_s:
            return None
        clean, denoising.clean = denoising.clean, None
        denoising.keeps_clean = clean is None
        if clean is None:
            return None
        try:
            path = self._written(drawing, clean)
        except Exception:
            log.exception("there are no previews")
            self._due_s = inf
            return None
        self._due_s = began_s + max(EVERY_S, (self.clock() - began_s) / SHARE)
        return path

    def _written(self, drawing: Drawing, clean: Tensor) -> str:
        preview = self.host.preview(drawing.base)
        if preview is None:
            raise LookupError("the model has none")
        pictures = preview.pictures(clean)
        self._made += 1
        path = self.folder / f"preview-{self._made % 2}.jpg"  # the worker may still read the one before
        contact_sheet(pictures, drawing.side_px).save(path, "JPEG", quality=QUALITY)
        return str(path)
