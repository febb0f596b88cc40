"""Watching a training: what is logged of it, and to whom.

Losses stay on the device for some steps and are fetched together; trackers are told in threads of their own.
"""

import logging
import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from storage.contract.recipe import Recipe
from storage.settings.trainer import TrainerSettings
from trainer.diffusion import sampling
from trainer.dreambooth.candidates import CandidateSnapshot
from trainer.dreambooth.trackers import TrackerThread, check, opened
from trainer.dreambooth.train import Step, Training
from trainer.protocol import TrainResult, TrainTask

log = logging.getLogger(__name__)

EVERY = 10  # steps whose losses are fetched from the device at once
WAIT_S = 3.0  # that a training waits for trackers at its end; whoever takes longer goes on in the background
LOSSES = ("train/loss", "train/instance_loss", "train/prior_loss")


class TrainingLog:
    """What is logged of one training, by the names that trackers show."""

    def __init__(self, lines: Iterable[TrackerThread] = ()) -> None:
        self.lines = list(lines)
        self._logged = 0
        self._newest: Step | None = None  # with losses that are not logged yet
        self._last_s, self._took_s = time.monotonic(), list[float]()

    def begin(self, taken: int) -> None:
        """Start at a training that has taken so many steps before, and logged them."""
        self._logged, self._last_s = taken, time.monotonic()

    def after(self, step: Step) -> None:
        """Log every few steps what has been learned since."""
        if not self.lines:
            return
        now_s = time.monotonic()
        self._took_s.append(now_s - self._last_s)
        self._last_s, self._newest = now_s, step
        if step.step % EVERY == 0 or step.step == step.training.recipe.steps:
            self.log(
                {**learning_rates(step.training), **step_costs(step.training, statistics.median(self._took_s))},
                step.step,
            )
            self._took_s.clear()

    def validated(self, step: int, instance: float, prior: float) -> None:
        """Log the losses on what is held back; that of the class is 0 if it is not preserved."""
        given = {"validation/instance_loss": instance, "validation/prior_loss": prior}
        self.log({name: loss for name, loss in given.items() if loss}, step)

    def candidate(self, candidate: CandidateSnapshot, seen: Sequence[Sequence[Image.Image]] = ()) -> None:
        """Log how good a candidate is, and the pictures by which that was `seen`: a row in places, one of its class."""
        self.log({f"candidate/{name}": value for name, value in candidate.measures.items()}, candidate.step)
        if seen and self.lines:
            pictures = [picture for row in seen for picture in row]
            self.picture("candidate", sampling.grid(pictures, columns=len(seen[0])), candidate.step)

    def ended(self, result: TrainResult) -> None:
        """Log what came of it: the report card of each subject, and the pictures that people are shown."""
        last = len(result.losses)
        self.log({"kept_step": result.kept_step}, last)
        for number, taught in enumerate(result.subjects):
            card, pair = (
                numbered_name("report_card", taught.identifier, number),
                numbered_name("before_and_after", taught.identifier, number),
            )
            self.log({f"{card}/{name}": value for name, value in taught.metrics.items()}, last)
            if taught.before_after:
                self.picture(pair, taught.before_after, last)
        if result.choices_sheet:
            self.picture("choices", result.choices_sheet, last)

    def log(self, values: dict[str, float], step: int) -> None:
        """Log numbers by name. W&B takes nothing about a step before the newest that it has heard of."""
        self.catch_up()
        self._log(values, step)

    def picture(self, name: str, picture: Image.Image | Path | str, step: int) -> None:
        """Log a picture, with the trackers that take pictures."""
        self.catch_up()
        for line in self.lines:
            line.show(name, picture, step)

    def catch_up(self) -> None:
        """Log the losses that were not logged yet: before what comes after them, and before a checkpoint."""
        if not self._newest:
            return
        training, upto = self._newest.training, self._newest.step
        names = LOSSES[:2] if training.recipe.prior == "none" else LOSSES
        for number, losses in enumerate(training.losses[self._logged : upto].tolist(), self._logged + 1):
            self._log(dict(zip(names, losses, strict=False)), number)
        self._logged, self._newest = upto, None

    def _log(self, values: dict[str, float], step: int) -> None:
        for line in self.lines if values else ():
            line.tell(lambda tracker: tracker.log(values, step=step))

    def wait(self) -> bool:
        """Wait a moment for the trackers' queues to empty; return whether they are."""
        return not wait([line.tell(lambda tracker: None) for line in self.lines], WAIT_S).not_done

    def finish(self) -> None:
        """End the run, and wait a moment for what is still queued."""
        self._newest = None  # it holds the model
        for line in self.lines:
            line.tell(lambda tracker: tracker.finish())
        if not self.wait():
            log.warning("some trackers are late and go on in the background")
        self.lines = []


class Trackers:
    """The trackers of one engine."""

    def __init__(self, settings: TrainerSettings | None = None) -> None:
        """Open those that the settings name; raises SetupError."""
        self.settings = settings
        self.lines = [TrackerThread(name) for name in settings.tracker_names] if settings else []
        check([line.name for line in self.lines])

    def watch(self, task: TrainTask, recipe: Recipe, taken: int) -> TrainingLog:
        """Begin to watch a training that has taken so many steps before, if there are trackers."""
        watch = TrainingLog(self.lines)
        if self.settings and self.lines:
            watch.begin(taken)
            home = self.settings.home / "trackers"
            for line in self.lines:
                make = partial(opened, line.name, task.job, Path(task.folder), home, taken + 1)
                line.open(make, self._hyperparameters(task, recipe))
            # The peak is to be that of this training, not of whatever the engine did before.
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
        return watch

    def _hyperparameters(self, task: TrainTask, recipe: Recipe) -> dict[str, Any]:
        """What decides a training. Nothing in it was typed by people, for it may leave this machine."""
        assert self.settings
        base = self.settings.base_model
        first = task.subjects[0]
        of = {"subject": first.subject, "job": task.job, "seed": task.seed, "photos": len(first.photos)}
        return {**recipe.model_dump(), "base_model": Path(base).name if Path(base).exists() else base, **of}


def numbered_name(what: str, identifier: str, number: int) -> str:
    """What something is called of the subject with this number in a training: of the first, mostly the only one, so.

    >>> numbered_name("sample", "zof", 0), numbered_name("sample", "vek", 1)
    ('sample', 'sample vek')
    """
    return f"{what} {identifier}" if number else what


def learning_rates(training: Training) -> dict[str, float]:
    """The learning rates, by what learns with them."""
    return {f"learning_rate/{group['name']}": group["lr"] for group in training.optimizer.param_groups}


def step_costs(training: Training, step_s: float) -> dict[str, float]:
    """Time of a step, and the most memory of the GPU so far; on a CPU what the process has."""
    on_gpu = training.base.device.type == "cuda"
    memory_bytes = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    return {"system/step_s": step_s, "system/memory_mib": memory_bytes / 2**20}
