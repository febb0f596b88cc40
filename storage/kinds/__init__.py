"""Kinds of jobs, a module each: the records of its jobs and outcomes, and what follows from its end.

To add a kind, write one module on each side of the import rule, and name it in the registry there:

1. `storage/kinds/<name>.py`, in `KINDS`: a `Job` with `kind: Literal["<name>"]`, an `Outcome` with what is made, and
   `<NAME> = JobKind("<name>", TheJob, TheOutcome)`. With that alone its jobs have a queue `<name>`, limits, fair turns
   and places, leases, retries, an outcome that is written once, and can be listed, cancelled and deleted. Hooks of
   `JobKind` are for kinds that change other records; its fields say what a kind needs, and what it is called.
2. `trainer/kinds/<name>.py`, in `HANDLERS`: a `JobHandler` whose `run` brings a job to its outcome. It is a coroutine
   in the worker's event loop: cancelled with its job, begun anew by another worker after a crash. What it shows
   meanwhile goes to `self.attempt.reporter.show(phase, step, of, live={…})`, and is published twice a second.
   `darkroom worker --queues <name>` serves it. An engine is started only for kinds with `needs_gpu`.
3. `bot/kinds/<name>.py`, in `PRESENTERS`: a `JobPresenter` that says how chats show the work (`live_text`) and what was
   made (`done`); and a command, `@command` in `bot/commands` and named in its registry, that yields
   `await bot.accept(job)`.

`tests/support/echo_kind.py` is a whole kind, which echoes text.
"""

from typing import Any

from storage.contract.jobs import Job
from storage.kinds.ask import ASK
from storage.kinds.imagine import IMAGINE
from storage.kinds.kind import ANY, JobKind
from storage.kinds.train_end import TRAIN

KINDS: dict[str, JobKind[Any, Any]] = {kind.name: kind for kind in (TRAIN, IMAGINE, ASK)}


def kind_of(job: Job) -> JobKind[Any, Any]:
    """The kind of a job; one without hooks for a job that only a newer version understands."""
    return KINDS.get(job.kind, ANY) if job.is_understood else ANY


def queues_of_gpus() -> list[str]:
    """The kinds for which a worker starts an engine: what one serves that is told nothing else."""
    return [kind.name for kind in KINDS.values() if kind.needs_gpu]
