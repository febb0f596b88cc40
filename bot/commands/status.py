"""The command that shows what runs, what waits, and the workers."""

from bot.arguments.arguments import NoArguments
from bot.commands.command import command
from bot.commands.deployment_status import DeploymentStatus, RunningJob, WaitingJobs, deployment_status
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from storage.contract.worker_status import WorkerStatus
from storage.kinds import KINDS
from storage.text import listed, plural


@command("status", "Show what runs, what waits, and the workers.")
async def status(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """Show what the deployment does; others' private work is somebody's."""
    seen = await deployment_status(bot, request)
    facts = {f"running {number}": _running(job) for number, job in enumerate(seen.running, 1)}
    if seen.more_running:
        facts["also running"] = plural(seen.more_running, "job")
    if seen.waiting:
        facts["waiting"] = listed([_waiting(some) for some in seen.waiting])
    facts |= {f"worker {number}": _worker(worker) for number, worker in enumerate(seen.workers, 1)}
    yield Reply(text=_summary(seen), facts=facts)


def _summary(seen: DeploymentStatus) -> str:
    running, waiting = len(seen.running) + seen.more_running, {some.kind: some.jobs for some in seen.waiting}
    text = f"{plural(running, 'job')} running, {sum(waiting.values())} waiting."
    if not any(seen.serving.values()):
        return f"{text} No worker is running."
    missed = {kind: why for kind, why in seen.obstacles.items() if kind in waiting or KINDS[kind].needs_gpu}
    return " ".join([text, *(f"For {KINDS[kind].noun}s, {why}." for kind, why in missed.items())])


def _running(job: RunningJob) -> str:
    """A job in a line: whose, what, and how far."""
    what = f"yours: {job.said}" if job.is_own else job.said
    return f"{what} — {job.standing}" if job.standing else what


def _waiting(some: WaitingJobs) -> str:
    kind = KINDS[some.kind]
    jobs = plural(some.jobs, kind.noun)
    return f"{jobs} ({plural(some.units, kind.unit)})" if kind.unit else jobs


def _worker(worker: WorkerStatus) -> str:
    """A worker in a line: its model, what it takes, how fast it was in the last minute."""
    serves = listed([f"{KINDS[kind].noun}s" for kind in worker.kinds if kind in KINDS]) or "jobs of other versions"
    if not worker.base_model:
        return serves
    parts = [f"{worker.base_model} on {worker.device}, {serves}"]
    if worker.rows_per_s:
        speed = f"{worker.rows_per_s:g} denoising steps a second"
        parts.append(f"in the last minute {plural(round(worker.pictures_per_minute), 'picture')}, {speed}")
    if worker.training_share:
        parts.append(f"{worker.training_share:.0%} of its time for trainings")
    parts.append(f"{plural(worker.subjects, 'subject')} in memory")
    if worker.lacks:
        parts.append(f"too little {worker.lacks}")
    return "; ".join(parts)
