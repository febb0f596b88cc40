"""The engine: the process that holds the base model and does the tensor work (process.py starts it).

Its scheduler decides at each step what runs next: pictures of several requests share forward passes, and nobody waits
for a training.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, get_args

import torch
from pydantic import ValidationError

from storage.base_models import BaseModelPair
from storage.contract.jobs import Method
from storage.errors import SetupError, UserError
from storage.logs import log_to
from storage.objects.folder_errors import is_full
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from trainer.diffusion.batch_sizes import PictureBatches
from trainer.diffusion.pass_precision import may_use_bfloat16
from trainer.diffusion.preview import LatentPreview
from trainer.dreambooth.multi_lora import MultiLora
from trainer.dreambooth.training_log import Trackers
from trainer.engine.distributed import EngineGroup
from trainer.engine.message_writer import MessageWriter, News
from trainer.engine.run import Run
from trainer.engine.sampling_run import SamplingRun
from trainer.engine.scheduler import SHARE, Scheduler
from trainer.engine.subject_cache import SubjectCache
from trainer.engine.training_run import TrainingRun
from trainer.engine.training_session import TrainingServices
from trainer.invalid_lines import InvalidLineLog
from trainer.memory.fit import method_of_engine, offload_of_engine, trainings_at_once
from trainer.metrics.embedders import Embedder, open_embedder
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.twin import load_twin
from trainer.out_of_memory import free_cached_memory, is_out_of_memory
from trainer.protocol import (
    OURS,
    Cancel,
    FromWorker,
    Heartbeat,
    Hello,
    ImagineTask,
    Pause,
    Refusal,
    Task,
    TaskResult,
    TrainTask,
    Watch,
    failure_of,
    read_task,
)

log = logging.getLogger(__name__)

ALIVE_S = 1.0  # without a report, after which the engine says that it lives
LOOK_S = 5.0  # between two looks for forgotten weights while there is nothing to do
BUSY_LOOK_S = 1.0  # the same while there is: many subjects have many files
SHORT = "memory was short, so it was done with less"
TOO_LITTLE = {
    "train": "The machine has too little memory to learn this, even one example at a time. "
    "Whoever runs me may choose the method lora or a smaller base model, or give me a larger GPU.",
    "imagine": "The machine has too little memory for this, even one picture at a time. Please try a smaller size.",
}


class Engine:
    """Runs tasks on a resident base model. One thread listens to the worker, and one computes, in `serve`."""

    def __init__(
        self,
        base: BaseModel,
        say: Callable[[News], None],
        together: EngineGroup | None = None,
        embedder: Embedder | None = None,
        trackers: Trackers | None = None,
        method: Method = "full",
        training_share: float = SHARE,
        twin: BaseModel | None = None,
        at_once: int = 4,
        allow_bfloat16: bool = False,
    ) -> None:
        """`method` is what is learned by where nobody has asked for one; `twin` draws drafts.

        Up to `at_once` LoRA trainings share their steps. With `allow_bfloat16`, wide passes draw in bfloat16.
        """
        self.base, self.twin, self.method, self.pausing, self.allow_bfloat16 = base, twin, method, False, allow_bfloat16
        self.inbox: SimpleQueue[FromWorker] = SimpleQueue()
        self.watched: set[str] = set()
        self._previews: dict[BaseModel, LatentPreview | None] = {}  # None: there are none
        self.subjects, self.batches = SubjectCache(base, None, self._is_training), PictureBatches(base)
        drafts = twin or base
        self.drafted, self.draft_batches = SubjectCache(drafts, None, self._is_training), PictureBatches(drafts)
        group, trackers = together or EngineGroup(), trackers or Trackers()
        self.services = TrainingServices(group, embedder, trackers, MultiLora(base, at_once))
        one_training = group.size > 1 or bool(trackers.lines)  # a tracker logs one at a time
        self.scheduler = Scheduler(one_training, training_share)
        self._say, self._said_s, self._looked_s = say, 0.0, 0.0

    def _is_training(self) -> bool:
        return self.scheduler.is_training

    def listen(self, lines: BinaryIO) -> None:
        """Take tasks and wishes to stop from the worker until it closes the pipe, then end the process."""
        skipped = InvalidLineLog("the worker")
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
        # any message is a sign of life, so the next is due only after silence
        self._said_s = time.monotonic()
        self._say(news)

    def serve(self) -> None:
        """Run what comes, for ever."""
        base = self.base
        of = {"folder": str(base.folder), "revision": base.source.revision, "device": str(base.device)}
        of["twin_folder"] = str(self.twin.folder) if self.twin else ""
        for model in filter(None, (base, self.twin)):
            self._fit_preview(model)  # now, so that no drawing waits for it
        at_once = self.services.multi_lora.most
        how: dict[str, Any] = {"method": self.method, "trainings_at_once": at_once}
        self.say(Hello(base_sha256=base.sha256, image_px=base.image_px, **how, **of))
        while True:
            self.run_until_idle()
            self._take_in(LOOK_S)
            self._drop_forgotten()
            self._say_load()

    def run_until_idle(self) -> None:
        """Run what has come, and what comes meanwhile, to its end. This is the one loop: all work is done from here."""
        self._take_in()
        while turn := self.scheduler.step():
            self._finish([run for run in turn if run.ended])
            if time.monotonic() - self._said_s > ALIVE_S:
                self.say(Heartbeat(job=turn[0].task.job))
            self._say_load()
            if time.monotonic() - self._looked_s > BUSY_LOOK_S:
                self._drop_forgotten()
            self._take_in()

    def preview(self, base: BaseModel) -> LatentPreview | None:
        """What makes previews of a base model's latents, if that can be; fitted when it is asked for first."""
        if base not in self._previews:
            self._previews[base] = LatentPreview.fitted(base)
        return self._previews[base]

    def _fit_preview(self, base: BaseModel) -> None:
        try:
            self.preview(base)
        except Exception:  # previews are not worth an engine
            log.exception("no previews can be made of this model's latents")
            self._previews[base] = None
            free_cached_memory()

    def _say_load(self) -> None:
        """Tell the worker how much is done, if it is time to; that is no sign of life of any task."""
        subjects = self.subjects.resident + self.drafted.resident
        if load := self.scheduler.meter.news(subjects, self.services.multi_lora.most):
            self._say(load)

    def _drop_forgotten(self) -> None:
        self._looked_s = time.monotonic()
        for cache in (self.subjects, self.drafted):
            cache.drop_forgotten()

    def _take_in(self, timeout_s: float = 0.0) -> None:
        """Take in what the worker has said; where it has said nothing, wait for that long."""
        with suppress(Empty):
            while True:
                message = self.inbox.get(timeout=timeout_s)
                timeout_s = 0.0
                if isinstance(message, Cancel):
                    self._finish(self.scheduler.cancel(message.job))
                elif isinstance(message, Watch):
                    (self.watched.add if message.on else self.watched.discard)(message.job)
                elif isinstance(message, Pause):
                    self.pausing = True
                else:
                    self.scheduler.add(self._run_of(message))

    def _run_of(self, task: Task) -> Run:
        if isinstance(task, TrainTask):
            for cache in (self.subjects, self.drafted):  # memory is counted for one copy of the network beside it
                cache.let_go_full()
            return TrainingRun(task, self, self.services)
        if task.quality == "draft":
            return SamplingRun(task, self, self.drafted, self.draft_batches, self.subjects)
        return SamplingRun(task, self, self.subjects, self.batches, self.drafted)

    def _finish(self, runs: list[Run]) -> None:
        """Tell the worker how runs have ended; one for which memory did not suffice is tried again with less."""
        for run in runs:
            task, short = run.task, run.error is not None and is_out_of_memory(run.error)
            if short:
                log.warning("job %s ran out of memory%s: %s", task.job, " again" if task.gentle else "", run.error)
                run.error = None  # it holds what there was no room for
                self.subjects.let_go()
                self.drafted.let_go()
                free_cached_memory()
            # Once only: what does not fit one example at a time will not fit at another try either.
            if short and not task.gentle:
                self.scheduler.add(self._run_of(run.gentle_task()), first=True)
            else:
                self.watched.discard(task.job)
                self.say(_result_of(run))
                if run.state == "done" and isinstance(task, ImagineTask):
                    self.scheduler.meter.finished(len(task.seeds))
            run.error = None  # it would hold what was in use for as long as the run is known


def _result_of(run: Run) -> TaskResult:
    """How a run has ended, in words for people; what has neither result nor error ran out of memory."""
    job, error = run.task.job, run.error
    if run.result:
        result = run.result
    elif run.state == "cancelled":
        result = TaskResult(job=job, state="cancelled", message="Cancelled.")
    elif isinstance(error, UserError):
        result = TaskResult(job=job, state="failed", message=str(error))
    elif error:
        log.error("job %s failed", job, exc_info=error)
        detail = f"{type(error).__name__}: {error}"
        result = TaskResult(job=job, state="failed", message=OURS, detail=detail, disk_full=is_full(error))
    else:
        return TaskResult(job=job, state="failed", message=TOO_LITTLE[run.task.do], detail="out of memory")
    return result.model_copy(update={"detail": result.detail or SHORT}) if run.task.gentle else result


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
    group = engine.services.group
    if group.leads:
        threading.Thread(target=engine.listen, args=(sys.stdin.buffer,), daemon=True).start()
        engine.serve()
    while True:
        TrainingRun(TrainTask.model_validate_json(group.hear()), engine, engine.services).follow()


def _start(writer: MessageWriter) -> Engine:
    """Load all that an engine needs; raises SetupError."""
    together = EngineGroup()
    # Engines of one host share its cores, where each would take all of them.
    torch.set_num_threads(max(1, torch.get_num_threads() // together.size))
    settings = load_settings(TrainerSettings)
    base = _load(settings, together)
    if together.leads:
        log.info("base model %s", base.sha256)  # which reads all its files: here, where the worker hears a heartbeat
    embedder = open_embedder(settings, base.device) if together.leads else None
    method = method_of_engine(base, settings) if together.leads else "full"
    trackers = Trackers(settings if together.leads else None)
    twin_model = BaseModelPair.of(sys.argv[1]).twin if together.leads else ""
    twin = load_twin(twin_model, base, settings.home) if twin_model else None
    at_once = trainings_at_once(base, settings) if together.leads else 1
    allow_bfloat16, share = may_use_bfloat16(settings.precision, base), settings.training_share
    return Engine(base, writer.say, together, embedder, trackers, method, share, twin, at_once, allow_bfloat16)


def _load(settings: TrainerSettings, together: EngineGroup) -> BaseModel:
    """Load the base model, the leader first: what is to be downloaded is downloaded once. Raises SetupError."""
    if not together.leads:
        together.hear()
    name = BaseModelPair.of(sys.argv[1]).base
    offload = offload_of_engine(name, settings)
    base = load_base(name, settings.home, settings.precision, settings.base_weights, offload)
    # Now rather than with the first job that takes the method: whoever starts a worker is there to read it.
    for method in get_args(Method):
        together.check(recipe_for(base.folder, method=method))
    if together.leads:
        together.tell(b"it is there")
    return base
