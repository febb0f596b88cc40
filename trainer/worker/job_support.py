"""Whether this version can do a job at all."""

from storage.contract.jobs import ImagineJob, NewerJob, TrainJob
from storage.contract.recipe import Recipe
from storage.contract.records import stored_job
from storage.contract.schema_versions import is_garbled
from storage.errors import Damaged, Newer
from storage.objects.store import Store


async def runnable_job(store: Store, job_id: str) -> TrainJob | ImagineJob:
    """Read a job that is to be done; raises Missing and Damaged, and Newer where only a newer version can do it."""
    job = await stored_job(store, job_id)
    if isinstance(job, NewerJob):
        raise Newer(f"Job {job.id} was accepted by a newer version of Darkroom.")
    if isinstance(job, TrainJob) and (unknown := sorted(set(job.recipe) - set(Recipe.model_fields))):
        if any(is_garbled(name, Recipe.model_fields) for name in unknown):
            raise Damaged(f"The recipe of job {job.id} is damaged.")
        raise Newer(f"The recipe of job {job.id} is of a newer version of Darkroom: it has {', '.join(unknown)[:100]}.")
    return job
