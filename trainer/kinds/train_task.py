"""From a training job to its task for the engine: which files it needs, and where they lie."""

import asyncio
import logging
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from storage.contract.jobs import Method, job_key
from storage.contract.recipe import Recipe
from storage.contract.records import parsed
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.kinds.train import TrainJob
from storage.objects.store import Store
from storage.objects.transfers import OnProgress
from trainer.dreambooth.class_set_file import is_whole
from trainer.dreambooth.prompts import CLASS_BATCH, class_set_key
from trainer.kinds.pictures import fetch_photo, photo_path
from trainer.models.default_recipe import check_recipe, for_photos, for_several, recipe_for
from trainer.models.families import family_of
from trainer.protocol import Hello, SubjectTask, TrainTask
from trainer.worker.cache import Cache
from trainer.worker.checkpoint_store import CheckpointStore
from trainer.worker.photo_diversity import count_different, most_different

log = logging.getLogger(__name__)


class TrainTaskBuilder:
    """Builds the tasks of trainings, with the cache of this machine."""

    def __init__(self, store: Store, cache: Cache, checkpoint_s: float) -> None:
        self.store, self.cache, self.checkpoint_s = store, cache, checkpoint_s
        self.subjects = Subjects(store)

    async def build(
        self, job: TrainJob, hello: Hello, folder: Path, on_progress: OnProgress, hold: ExitStack
    ) -> TrainTask:
        """Fetch what the training needs into `folder` and the cache; raises UserError if it cannot be had so.

        What is in the cache stays there until `hold` is closed. Raises Missing if a subject is gone.
        """
        family = family_of(Path(hello.folder))
        subjects = [await self._noted_references(each, family.references) for each in job.subjects]
        method = await self._method(job, hello)
        asked = {**job.recipe, "method": method, **({"steps": job.steps} if job.steps else {})}
        try:
            recipe = recipe_for(Path(hello.folder), **asked)
        except ValidationError as error:
            raise UserError(f"The recipe does not work: {error.errors()[0]['msg']}.") from error
        check_recipe(recipe, family)  # before photos are fetched for it
        # Identifiers need to differ only where one prompt can name both.
        known = await self.subjects.in_space(job.space)
        tasks = tuple([await self._subject_task(each, folder, hello, recipe, hold) for each in subjects])
        differ = max(each.differ for each in tasks)
        # Several subjects share one recipe, so the one with the most photos decides.
        recipe = for_several(for_photos(recipe, differ, asked), len(subjects))
        begun = await CheckpointStore(self.store, job).newest(folder, on_progress)
        return TrainTask(
            job=job.id,
            folder=str(folder),
            subjects=tasks,
            taken=tuple(s.identifier for s in known if s.id not in job.subjects),
            recipe=recipe.model_dump(),
            seed=job.seed,
            checkpoint_s=self.checkpoint_s,
            begun=str(begun) if begun else None,
        )

    async def _noted_references(self, subject: str, references: int) -> Subject:
        """The record of a subject, which says from now on whether it can be drawn from its photos meanwhile."""
        await self.subjects.whole(subject)
        return await self.subjects.change(subject, lambda s: s.model_copy(update={"references": references}))

    async def _method(self, job: TrainJob, hello: Hello) -> Method:
        """How a subject is learned: if nobody asked for a method, by what the first attempt at the job takes.

        That is written into the job: whoever goes on with the training, with whatever memory, goes on with its recipe.
        """
        while not job.method:
            data, tag = await self.store.get(job_key(job.id))
            record = parsed(TrainJob, data, job_key(job.id))
            job = record if record.method else record.model_copy(update={"method": hello.method})
            if not record.method and not await self.store.replace(job_key(job.id), job.model_dump_json().encode(), tag):
                job = record  # another attempt was quicker
        return job.method

    async def _wholes(self, subject: Subject, folder: Path) -> tuple[str, ...]:
        """Fetch the photos as they were before they were cut square; those that were square are there."""
        for photo in subject.photos:
            if photo.whole:
                await self.store.get_file(photo.whole, photo_path(folder, photo.whole_sha256), photo.whole_sha256)
        return tuple(str(photo_path(folder, photo.whole_sha256 or photo.sha256)) for photo in subject.photos)

    async def _subject_task(
        self, subject: Subject, folder: Path, hello: Hello, recipe: Recipe, hold: ExitStack
    ) -> SubjectTask:
        """What the engine is to know of a subject that it learns; its photos come into `folder`."""
        photos = [await fetch_photo(self.store, photo, folder) for photo in subject.photos]
        references = await asyncio.to_thread(most_different, photos, subject.references) if subject.references else []
        of_class = [class_set_key(hello.base_sha256, subject.noun, recipe, n) for n in (CLASS_BATCH, 1)]
        class_sets = [await self._class_set(key, hold) for key in of_class] if recipe.prior == "class_set" else ["", ""]
        return SubjectTask(
            subject=subject.id,
            noun=subject.noun,
            photos=tuple(map(str, photos)),
            differ=await asyncio.to_thread(count_different, photos),
            references=tuple(map(str, references)),
            wholes=await self._wholes(subject, folder) if recipe.aspect_buckets else (),
            captions=tuple(photo.caption for photo in subject.photos),
            class_set=class_sets[0],
            class_set_gently=class_sets[1],
        )

    async def _class_set(self, key: str, hold: ExitStack) -> str:
        """Path of a class set; if there is none that is whole, the engine draws it there, and it replaces that one."""
        for _ in range(2):  # as it lies here, then as the store has it
            path = await self.cache.path(key, hold=hold)
            if not path.exists() or await asyncio.to_thread(is_whole, path):
                break
            log.warning("a copy of %s is damaged, and is done without", key)
            path.unlink(missing_ok=True)
        else:
            log.warning("%s is damaged and is deleted; it is drawn anew", key)
            await self.store.delete(key)
        return str(path)
