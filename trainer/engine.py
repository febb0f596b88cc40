"""The engine: the process that holds the base model and does the tensor work (engine_process.py starts it).

Between two training steps it serves the pictures that are asked for meanwhile, so nobody waits for a training.
"""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, get_args

import torch

from storage.errors import SetupError, UserError
from storage.jobs import Method
from storage.logs import log_to
from storage.settings import Settings, load_settings
from trainer.capacity import memory
from trainer.capacity.fitting import method_of_engine
from trainer.drawing import Drawing
from trainer.host import Cancelled, Paused
from trainer.judging.eyes import Eye, open_eye
from trainer.lessons.teaching import Teaching
from trainer.lessons.together import Together
from trainer.lessons.tracking import Trackers
from trainer.models import BaseModel, load_base
from trainer.recipe import recipe_for
from trainer.seam import Cancel, Hello, ImagineTask, Pause, Refusal, Report, Result, Task, TrainTask, read_task

log = logging.getLogger(__name__)

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
        say: Callable[[Hello | Report | Result], None],
        together: Together | None = None,
        eye: Eye | None = None,
        trackers: Trackers | None = None,
        method: Method = "full",
    ) -> None:
        """`method` is what is learned by where nobody has asked for one."""
        self.base, self.say, self.method = base, say, method
        self.waiting: deque[Task] = deque()
        self.cancelled: set[str] = set()
        self.pausing = False
        self.arrived = threading.Semaphore(0)
        self.drawing, self.teaching = Drawing(self), Teaching(self, together or Together(), eye, trackers)

    def listen(self, lines: BinaryIO) -> None:
        """Take tasks and wishes to stop from the worker until it closes the pipe, then end the process."""
        for line in lines:
            task = read_task(line)
            if isinstance(task, Cancel):
                self.cancelled.add(task.job)
            elif isinstance(task, Pause):
                self.pausing = True
            else:
                self.cancelled.discard(task.job)  # that was about an earlier attempt
                self.waiting.append(task)
                self.arrived.release()
        os._exit(0)  # the worker is gone: nobody is left to hear a result

    def serve(self) -> None:
        """Run what comes, for ever."""
        base = self.base
        of = {"folder": str(base.folder), "revision": base.source.revision, "device": str(base.device)}
        self.say(Hello(base_sha256=base.sha256, image_px=base.image_px, method=self.method, **of))
        while True:
            self.arrived.acquire(timeout=LOOK_S)
            self.drawing.drop_forgotten()
            if self.waiting:  # a picture may have been served in the middle of a training
                self.run(self.waiting.popleft())

    def run(self, task: Task) -> None:
        """Run one task to its result, whatever happens; where memory runs out, once more with less."""
        self.say(Report(job=task.job, phase="loading"))
        result = self._result(task)
        if result is None and not task.gentle:
            task = task.model_copy(update={"gentle": True})
            result = self._result(task)
        if result and task.gentle:
            result = result.model_copy(update={"detail": result.detail or SHORT})
        self.say(result or Result(job=task.job, state="failed", message=TOO_LITTLE[task.do], detail="out of memory"))

    def _result(self, task: Task) -> Result | None:
        """Run one task; None if there was too little memory."""
        try:
            self.check(task.job)
            return self.teaching.teach(task) if isinstance(task, TrainTask) else self.drawing.draw(task)
        except Cancelled:
            return Result(job=task.job, state="cancelled", message="Cancelled.")
        except Paused:
            return Result(job=task.job, state="paused")
        except UserError as error:
            return Result(job=task.job, state="failed", message=str(error))
        except Exception as error:
            if not memory.ran_out(error):
                log.exception("job %s failed", task.job)
                message = "Something went wrong on our side while working on this."
                return Result(job=task.job, state="failed", message=message, detail=f"{type(error).__name__}: {error}")
            log.warning("job %s ran out of memory%s: %s", task.job, " again" if task.gentle else "", error)
        self.drawing.let_go()
        memory.free()  # out here, where the error no longer holds what it happened to
        return None

    def check(self, job: str) -> None:
        """Raise Cancelled if the job is to stop."""
        if job in self.cancelled:
            raise Cancelled

    def serve_pictures(self) -> None:
        """Run the pictures that wait, and leave trainings waiting."""
        for task in [t for t in self.waiting if isinstance(t, ImagineTask)]:
            self.waiting.remove(task)
            self.run(task)
        self.drawing.drop_forgotten()


def main() -> None:
    """Load the base model named on the command line and serve the worker at the other end of the pipes.

    Under torchrun, with a GPU for each process, the first of them does, and the others train along with it.
    """
    together = Together()
    log_to(None, logging.INFO, "engine %(levelname)s %(message)s")
    torch.set_num_threads(max(1, torch.get_num_threads() // together.size))
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not end up between our lines
    lock = threading.Lock()

    def say(news: Hello | Refusal | Report | Result) -> None:
        if together.leads:
            with lock:
                out.write(news.model_dump_json().encode() + b"\n")

    try:
        settings = load_settings()
        base = _load(settings, together)
        eye = open_eye(settings, base.device) if together.leads else None
        method = method_of_engine(base, settings) if together.leads else "full"
        engine = Engine(base, say, together, eye, Trackers(settings if together.leads else None), method)
    except SetupError as error:
        say(Refusal(message=str(error)))
        sys.exit(1)
    if together.leads:
        threading.Thread(target=engine.listen, args=(sys.stdin.buffer,), daemon=True).start()
        engine.serve()
    while True:
        engine.teaching.follow()


def _load(settings: Settings, together: Together) -> BaseModel:
    """Load the base model, the leader first: what is to be downloaded is downloaded once. Raises SetupError."""
    if not together.leads:
        together.hear()
    base = load_base(sys.argv[1], settings.home, settings.precision)
    for method in get_args(Method):
        together.check(recipe_for(base.folder, method=method))
    if together.leads:
        together.tell(b"it is there")
    return base
