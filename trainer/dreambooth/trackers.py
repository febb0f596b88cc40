"""Experiment trackers that Accelerate knows, by name: whether they can be used, opened, and logged to.

Each has a thread of its own, in which all is said to it in order. So a training waits for none of them, and one that
fails or does not answer spoils neither the training nor what the others say.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, TensorBoardTracker, get_available_trackers
from accelerate.utils import LoggerType
from PIL import Image

from storage.errors import SetupError

log = logging.getLogger(__name__)

PROJECT = "darkroom"
TENSORBOARD = "tensorboard"  # folder of its files beside the other files of a job, from where the worker takes them


class TensorBoard(TensorBoardTracker):  # type: ignore[misc]
    """Accelerate's, but that a run is one file: hyperparameters are in it, where Accelerate makes folders beside it."""

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Log the hyperparameters."""
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(values, {}):  # type: ignore[no-untyped-call]
            self.writer.file_writer.add_summary(summary)

    def log_images(self, values: dict[str, list[Image.Image]], step: int | None = None, **how: Any) -> None:
        """Log pictures, those of one name in one size."""
        arrays = {name: np.stack([np.asarray(picture) for picture in pictures]) for name, pictures in values.items()}
        super().log_images(arrays, step, dataformats="NHWC", **how)


def check(names: Sequence[str]) -> None:
    """Raise SetupError in a sentence if one of the trackers is unknown, not installed, or does not let us in."""
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise SetupError(f"DARKROOM_TRACKERS names {name}, and Accelerate knows {known}.")
        if LoggerType(name) not in get_available_trackers():
            raise SetupError(f"DARKROOM_TRACKERS names {name}, which is not installed: `pip install {name}` does that.")
    if "wandb" in names:
        _login_to_wandb()


def _login_to_wandb() -> None:
    """Find out now what would otherwise be found out at the first training."""
    import wandb

    try:
        wandb.login()
    except wandb.Error as error:
        raise SetupError(f"DARKROOM_TRACKERS names wandb, which does not let us in: {error}") from error


def opened(name: str, run: str, folder: Path, home: Path, first: int) -> GeneralTracker:
    """A tracker for one training, not started yet.

    TensorBoard's file goes to `folder`, what others leave on this machine to `home`. A `run` that goes on says again
    what its earlier attempt said from step `first` on; W&B does that by itself.
    """
    if name == "tensorboard":
        return TensorBoard(TENSORBOARD, folder, purge_step=first)
    kind = LOGGER_TYPE_TO_CLASS[name]
    home.mkdir(parents=True, exist_ok=True)
    if name == "wandb":  # the engine's own words are not W&B's business
        return kind(PROJECT, id=run, name=run, resume="allow", dir=home, settings={"console": "off"})
    return kind(PROJECT, home) if kind.requires_logging_directory else kind(PROJECT)


class TrackerThread:
    """One tracker and the thread that logs to it. What goes wrong is logged once in a training."""

    def __init__(self, name: str) -> None:
        self.name = name
        # One thread keeps the order: W&B refuses a step that lies before the last one that it has heard of.
        self._thread = ThreadPoolExecutor(1, f"tracker-{name}")

    def open(self, make: Callable[[], GeneralTracker], values: dict[str, Any]) -> None:
        """Begin a run with these hyperparameters."""
        self._thread.submit(self._open, make, values)

    def tell(self, say: Callable[[GeneralTracker], object]) -> "Future[None]":
        """Queue a call of the tracker."""
        return self._thread.submit(self._tell, say)

    def show(self, name: str, picture: Image.Image | Path | str, step: int) -> None:
        """Queue a picture, if the tracker takes pictures; one in a file is read in the tracker's thread."""

        def say(tracker: GeneralTracker) -> None:
            if hasattr(tracker, "log_images"):
                shown = (picture if isinstance(picture, Image.Image) else Image.open(picture)).convert("RGB")
                tracker.log_images({name: shown if tracker.name == "aim" else [shown]}, step=step)

        self.tell(say)

    def _open(self, make: Callable[[], GeneralTracker], values: dict[str, Any]) -> None:
        self._tracker: GeneralTracker | None = None
        self._failed = False
        try:
            tracker = make()
            tracker.start()
            self._tracker = tracker
        except Exception as error:
            self._warn(error)
        self._tell(lambda tracker: tracker.store_init_configuration(values))

    def _tell(self, say: Callable[[GeneralTracker], object]) -> None:
        try:
            if self._tracker:
                say(self._tracker)
        except Exception as error:  # whatever it is, the training is worth more
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._failed:
            log.warning("%s misses some of this training: %s: %s", self.name, type(error).__name__, error)
        self._failed = True
