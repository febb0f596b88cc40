"""The engine: the process that holds the base model and does the tensor work (process.py starts it).

Between two training steps it serves the pictures that are asked for meanwhile, so nobody waits for a training.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO, get_args

import torch
from pydantic import ValidationError

from storage.contract.jobs import Method
from storage.errors import SetupError, UserError
from storage.logs import log_to
from storage.objects.folder_errors import is_full
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from trainer.dreambooth.training_log import Trackers
from trainer.engine.distributed import EngineGroup
from trainer.engine.generate_task import ImageGenerator
from trainer.engine.host import Cancelled, Paused
from trainer.engine.message_writer import MessageWriter, News
from trainer.engine.task_inbox import TaskInbox
from trainer.engine.train_task import TrainRunner
from trainer.memory import oom
from trainer.memory.fit import method_of_engine
from trainer.metrics.embedders import Embedder, open_embedder
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.protocol import (
    OURS,
    Alive,
    Hello,
    ProgressReport,
    Refusal,
    Task,
    TaskResult,
    TrainTask,
    failure_of,
    read_task,
)
from trainer.skipped_lines import SkippedLines

log = logging.getLogger(__name__)

ALIVE_S = 1.0  # without a report, after which the engine says that it lives
LOOK_S = 5.0  # between two looks for forgotten weights while there is nothing to do
SHORT = "memory was short, so it was done with less"
TOO_LITTLE = {
    "train": "The machine has too little memory to learn this, even one example at a time. "
    "Whoever runs me may choose the method lora or a smaller base model, or give me a larger GPU.",
    "imagine": "The machine has too little memory for this, even one picture at a time. Please try a smaller size.",
}


class Engine:
    """Runs one task after another on a resident base model."""

    def __init__(
        self,
        base: BaseModel,
        say: Callable[[News], None],
        together: EngineGroup | None = None,
        embedder: Embedder | None = None,
        trackers: Trackers | None = None,
        method: Method = "full",
    ) -> None:
        """`method` is what is learned by where nobody has asked for one."""
        self.base, self.method, self.inbox = base, method, TaskInbox()
        self._say, self._said_s = say, 0.0
        self.image_generator = ImageGenerator(self)
        self.train_runner = TrainRunner(self, together or EngineGroup(), embedder, trackers)

    def listen(self, lines: BinaryIO) -> None:
        """Take tasks and wishes to stop from the worker until it closes the pipe, then end the process."""
        skipped = SkippedLines("the worker")
        for line in lines:
            try:
                self.inbox.put(read_task(line))
            except ValidationError as error:
                skipped.note(f"which is no task ({error.errors()[0]['msg']})")
                if failed := failure_of(line):
                    self.say(failed)
        os._exit(0)  # the worker is gone: nobody is left to hear a result

    def say(self, news: News) -> None:
        """Tell the worker."""
        self._said_s = time.monotonic()
        self._say(news)

    def serve(self) -> None:
        """Run what comes, for ever."""
        base = self.base
        of = {"folder": str(base.folder), "revision": base.source.revision, "device": str(base.device)}
        self.say(Hello(base_sha256=base.sha256, image_px=base.image_px, method=self.method, **of))
        while True:
            task = self.inbox.next(LOOK_S)
            self.image_generator.drop_forgotten()
            if task:
                self.run(task)

    def run(self, task: Task) -> None:
        """Run one task to its result, whatever happens; where memory runs out, once more with less."""
        result = self._result(task)
        if result is None and not task.gentle:
            task = task.model_copy(update={"gentle": True})
            result = self._result(task)
        if result and task.gentle:
            result = result.model_copy(update={"detail": result.detail or SHORT})
        self.say(
            result or TaskResult(job=task.job, state="failed", message=TOO_LITTLE[task.do], detail="out of memory")
        )

    def _result(self, task: Task) -> TaskResult | None:
        """Run one task; None if there was too little memory."""
        self.say(ProgressReport(job=task.job, phase="loading"))
        try:
            self.check(task.job)
            return self.train_runner.run(task) if isinstance(task, TrainTask) else self.image_generator.draw(task)
        except Cancelled:
            return TaskResult(job=task.job, state="cancelled", message="Cancelled.")
        except Paused:
            return TaskResult(job=task.job, state="paused")
        except UserError as error:
            return TaskResult(job=task.job, state="failed", message=str(error))
        except Exception as error:
            if not oom.is_out_of_memory(error):
                log.exception("job %s failed", task.job)
                detail = f"{type(error).__name__}: {error}"
                return TaskResult(job=task.job, state="failed", message=OURS, detail=detail, disk_full=is_full(error))
            log.warning("job %s ran out of memory%s: %s", task.job, " again" if task.gentle else "", error)
        self.image_generator.let_go()
        oom.free()  # out here, where the error no longer holds what it happened to
        return None

    @property
    def pausing(self) -> bool:
        """Whether the worker is about to end."""
        return self.inbox.pausing

    def check(self, job: str) -> None:
        """Raise Cancelled if the job is to stop; say now and then that it goes on."""
        if self.inbox.is_cancelled(job):
            raise Cancelled
        if time.monotonic() - self._said_s > ALIVE_S:
            self.say(Alive(job=job))

    def serve_pictures(self) -> None:
        """Run the pictures that wait, and leave trainings waiting."""
        for task in self.inbox.pictures():
            self.run(task)
        self.image_generator.drop_forgotten()


def main(writer: MessageWriter) -> None:
    """Load the base model named on the command line and serve the worker at the other end of the pipes.

    Under torchrun, with a GPU for each process, the first of them does, and the others train along with it.
    """
    log_to(None, logging.INFO, "engine %(levelname)s %(message)s")
    try:
        with writer.heartbeat():
            engine = _start(writer)
    except SetupError as error:
        writer.say(Refusal(message=str(error)))
        sys.exit(1)
    if engine.train_runner.together.leads:
        threading.Thread(target=engine.listen, args=(sys.stdin.buffer,), daemon=True).start()
        engine.serve()
    while True:
        engine.train_runner.follow()


def _start(writer: MessageWriter) -> Engine:
    """Load all that an engine needs; raises SetupError."""
    together = EngineGroup()
    torch.set_num_threads(max(1, torch.get_num_threads() // together.size))
    settings = load_settings(TrainerSettings)
    base = _load(settings, together)
    if together.leads:
        log.info("base model %s", base.sha256)  # which reads all its files: here, where the worker hears a heartbeat
    embedder = open_embedder(settings, base.device) if together.leads else None
    method = method_of_engine(base, settings) if together.leads else "full"
    return Engine(base, writer.say, together, embedder, Trackers(settings if together.leads else None), method)


def _load(settings: TrainerSettings, together: EngineGroup) -> BaseModel:
    """Load the base model, the leader first: what is to be downloaded is downloaded once. Raises SetupError."""
    if not together.leads:
        together.hear()
    base = load_base(sys.argv[1], settings.home, settings.precision)
    for method in get_args(Method):
        together.check(recipe_for(base.folder, method=method))
    if together.leads:
        together.tell(b"it is there")
    return base
