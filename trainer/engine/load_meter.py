"""How much the engine does: rows and pictures of the last minute, and the share of its time that trainings had."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from trainer.protocol import EngineLoad

WINDOW_S = 60.0
SLICE_S = 5.0  # the window moves by slices; as often the worker hears of it


@dataclass
class _Slice:
    began_s: float
    rows: int = 0
    pictures: int = 0
    drawing_s: float = 0.0
    training_s: float = 0.0


class LoadMeter:
    """Counts steps of the engine. A row is one picture in one denoising step."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._slices = deque([_Slice(clock())])
        self._reported: EngineLoad | None = None

    def drawn(self, rows: int, took_s: float) -> None:
        """Count a denoising step of so many pictures."""
        now = self._now()
        now.rows += rows
        now.drawing_s += took_s

    def trained(self, took_s: float) -> None:
        """Count a step of trainings."""
        self._now().training_s += took_s

    def finished(self, pictures: int) -> None:
        """Count pictures that are done."""
        self._now().pictures += pictures

    def news(self, subjects: int, trainings_at_once: int = 0) -> EngineLoad | None:
        """The load, with the number of subjects in memory, if it is new and none was told in the last seconds."""
        if self._reported is not None and self._slices[-1].began_s > self.clock() - SLICE_S:
            return None
        self._slices.append(_Slice(self.clock()))
        load = self._load(subjects).model_copy(update={"trainings_at_once": trainings_at_once})
        if load == self._reported:
            return None
        self._reported = load
        return load

    def _now(self) -> _Slice:
        return self._slices[-1]

    def _load(self, subjects: int) -> EngineLoad:
        now_s = self.clock()
        while len(self._slices) > 1 and self._slices[0].began_s < now_s - WINDOW_S:
            self._slices.popleft()
        lasted_s = now_s - self._slices[0].began_s
        names = ("rows", "pictures", "drawing_s", "training_s")
        rows, pictures, drawing_s, training_s = (sum(getattr(each, name) for each in self._slices) for name in names)
        busy_s = drawing_s + training_s
        return EngineLoad(
            rows_per_s=round(rows / lasted_s, 1) if lasted_s else 0.0,
            pictures_per_minute=round(60 * pictures / lasted_s, 1) if lasted_s else 0.0,
            subjects=subjects,
            training_share=round(training_s / busy_s, 2) if busy_s else None,
        )
