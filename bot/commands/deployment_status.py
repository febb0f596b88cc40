"""What a deployment does at the moment, as one person may see it: jobs that run and wait, and the workers."""

from bot.core import access
from bot.core.context import CommandContext
from bot.core.messages import Request
from bot.core.queue_view import QueueView
from bot.kinds import presenter_of
from storage.contract.base import Record
from storage.contract.jobs import Job
from storage.contract.progress import Progress
from storage.contract.worker_status import WorkerStatus
from storage.errors import Damaged, Missing
from storage.kinds import KINDS
from storage.queue.job_progress import read_progress
from storage.queue.worker_registry import worker_statuses

RUNNING_MAX = 20  # jobs that are looked at one by one


class RunningJob(Record):
    """A job that a worker has; of one that the person may not see, `said` is only that it is somebody's."""

    kind: str
    said: str
    is_own: bool = False
    standing: str = ""  # in words
    step: int = 0
    of: int = 0


class WaitingJobs(Record):
    """How many jobs of a kind wait, and how much work they are in the kind's units."""

    kind: str
    jobs: int
    units: int


class DeploymentStatus(Record):
    """What a deployment does."""

    running: tuple[RunningJob, ...] = ()
    more_running: int = 0  # that are not in the list
    waiting: tuple[WaitingJobs, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    serving: dict[str, int] = {}  # living workers by kind of job, those of other versions included
    obstacles: dict[str, str] = {}  # by kind of job: why nobody takes any


async def deployment_status(bot: CommandContext, request: Request) -> DeploymentStatus:
    """Look at the queues and the workers; raises RedisError and StoreError."""
    views = {kind: await bot.dispatch.queues.view(kind) for kind in KINDS}
    ids = [(kind, job) for kind, view in views.items() for job in view.running]
    running = [await _running(bot, request, kind, job) for kind, job in ids[:RUNNING_MAX]]
    return DeploymentStatus(
        running=tuple(running),
        more_running=len(ids) - len(running),
        waiting=tuple(_waiting(kind, view) for kind, view in views.items() if view.waiting),
        workers=tuple(await worker_statuses(bot.redis)),
        serving={kind: len(view.workers) for kind, view in views.items()},
        obstacles={kind: view.obstacle for kind, view in views.items() if view.obstacle},
    )


def _waiting(kind: str, view: QueueView) -> WaitingJobs:
    return WaitingJobs(kind=kind, jobs=len(view.waiting), units=view.amount(view.waiting))


async def _running(bot: CommandContext, request: Request, kind: str, job_id: str) -> RunningJob:
    progress = await read_progress(bot.redis, job_id) or Progress(job=job_id, phase="loading")
    where = {"kind": kind, "step": progress.step, "of": progress.of}
    try:
        job: Job = await bot.dispatch.job(job_id)
    except (Missing, Damaged):  # deleted just now
        return RunningJob(said=f"somebody's {KINDS[kind].noun}", **where)
    said = await access.visible_prompt(bot, request, job)
    is_own = job.owner == request.user and job.space == request.space
    return RunningJob(said=said, is_own=is_own, standing=presenter_of(job).standing(progress), **where)
