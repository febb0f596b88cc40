"""The pictures of an evaluation: ordinary jobs, with ids that say what they draw, so that nothing is drawn twice."""

import asyncio
import hashlib
import json
from pathlib import Path

from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.files import save
from bot.core.local_space import USER
from bot.core.messages import Reply
from bot.experiments.evaluation_plan import EvaluationPlan, as_model_reads
from storage.contract.subjects import Subject
from storage.errors import Missing
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.finalize import delete_job
from storage.nouns import class_prompt


def jobs_of(plan: EvaluationPlan, subject: Subject, prompts: list[str]) -> list[ImagineJob]:
    """What is drawn of a subject: each prompt, then its plain class as it was before, and as it is after."""
    plain = class_prompt(subject.noun)
    return [
        *(_job(plan, subject, prompt, as_model_reads(prompt, subject), plan.images) for prompt in prompts),
        _job(plan, subject, plain, plain, plan.class_images, learned=False),
        _job(plan, subject, plain, plain, plan.class_images),
    ]


def _job(
    plan: EvaluationPlan, subject: Subject, prompt: str, model_prompt: str, count: int, learned: bool = True
) -> ImagineJob:
    """A job with an id of its own that is always the same: the time of the training, then a hash of what decides."""
    job = ImagineJob(
        space=subject.space,
        owner=USER,
        said=f"/imagine {prompt}",
        prompt=prompt,
        subjects=(subject.id,) if learned else (),
        model_prompt=model_prompt,
        count=count,
        seed=plan.seed,
        steps=plan.steps,
        guidance=plan.guidance,
    )
    # With the hash of the weights: after a retrain nothing that was drawn before may count.
    what = [subject.id, subject.weights_sha256, job.model_dump(exclude={"id", "accepted_s"})]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return job.model_copy(update={"id": f"{(subject.job or subject.id)[:12]}{digest[:8]}"})


class EvaluationDrawer:
    """Has pictures drawn, as many at once as one person may ask for, and keeps them as files."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._places = asyncio.Semaphore(session.darkroom.settings.pictures_per_person)

    async def draw(self, job: ImagineJob, folder: Path) -> list[Path] | Reply:
        """The files of a job's pictures in a folder, drawn now unless they were before; a reply if that failed."""
        paths = [folder / f"{job.id}-{k}.png" for k in range(job.count)]
        if all(path.exists() for path in paths):
            return paths
        async with self._places:
            reply = await self._draw_once(job)
        if reply.state != "done":
            return reply
        store = self.session.darkroom.store
        for picture, path in zip(reply.pictures, paths, strict=True):
            await save(store, picture, folder, path.stem)
        return paths

    async def _draw_once(self, job: ImagineJob) -> Reply:
        """Ask for a job unless it was asked for before; one that came to nothing is asked for again."""
        darkroom = self.session.darkroom
        outcome = await darkroom.dispatch.outcome(job.id)
        if outcome and outcome.state != "done":
            # A failed job would keep its id, and asking again for the same id is the same job.
            await delete_job(darkroom.store, job.id)
        try:
            await darkroom.dispatch.job(job.id)
        except Missing:
            await darkroom.accept(job)
        # Only the end counts: the screen shows how many subjects are done, not how far each picture is.
        *_, last = [reply async for reply in darkroom.watch(job.id)]
        return last
