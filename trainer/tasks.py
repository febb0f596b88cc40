"""From a job to a task for the engine and back: which files it needs, what becomes of what it made."""

import asyncio
from pathlib import Path

from PIL import Image
from pydantic import ValidationError

from storage.company import check_company, listed
from storage.errors import Missing, UserError
from storage.files import Store
from storage.jobs import (
    Candidate,
    ImagineJob,
    Learned,
    Outcome,
    Picture,
    TrainJob,
    attempt_prefix,
    job_key,
    outcome_key,
)
from storage.recipe import Recipe
from storage.subjects import Subject, Subjects, samples_prefix, weights_prefix
from storage.transfers import Told, file_hash
from trainer.cache import Cache
from trainer.naming import class_set_key, sample_of
from trainer.recipe import for_several, recipe_for
from trainer.resuming import Checkpoints
from trainer.seam import Hello, ImagineTask, Pupil, Result, Task, Taught, TrainTask

GONE = "The subject was forgotten meanwhile."
SAMPLES = "samples"  # stands where the name of an attempt does: sample pictures belong to all attempts of a training


class Tasks:
    """Builds tasks and publishes their results, with the cache of this machine."""

    def __init__(self, store: Store, cache: Cache, checkpoint_s: float) -> None:
        self.store, self.cache, self.checkpoint_s = store, cache, checkpoint_s
        self.subjects = Subjects(store)

    async def is_open(self, job: TrainJob | ImagineJob) -> bool:
        """Whether a job still is to be done: it has no outcome, and nobody has deleted it."""
        return not await self.store.exists(outcome_key(job.id)) and await self.store.exists(job_key(job.id))

    async def build(self, job: TrainJob | ImagineJob, hello: Hello, folder: Path, told: Told) -> Task:
        """Fetch what the job needs into `folder` and the cache; raises UserError if the subject is gone."""
        try:
            return await (self._train if isinstance(job, TrainJob) else self._imagine)(job, hello, folder, told)  # type: ignore[arg-type]
        except Missing as error:
            raise UserError(GONE) from error

    async def _train(self, job: TrainJob, hello: Hello, folder: Path, told: Told) -> TrainTask:
        subject, *others = [await self.subjects.get(each) for each in job.subjects]
        try:
            asked = {"method": job.method, "steps": job.steps}
            recipe = recipe_for(Path(hello.folder), **{**job.recipe, **{k: v for k, v in asked.items() if v}})
        except ValidationError as error:
            raise UserError(f"The recipe does not work: {error.errors()[0]['msg']}.") from error
        recipe = for_several(recipe, len(job.subjects))
        known = await self.subjects.in_space(job.space)
        first, *pupils = [await self._pupil(each, folder, hello, recipe) for each in (subject, *others)]
        begun = await Checkpoints(self.store, job).newest(folder, told)
        return TrainTask(
            job=job.id,
            folder=str(folder),
            **first.model_dump(),
            others=tuple(pupils),
            taken=tuple(s.identifier for s in known if s.id not in job.subjects),
            recipe=recipe.model_dump(),
            seed=job.seed,
            checkpoint_s=self.checkpoint_s,
            begun=str(begun) if begun else None,
        )

    async def _wholes(self, subject: Subject, folder: Path) -> tuple[str, ...]:
        """Fetch the photos as they were before they were cut square; those that were square are there."""
        for photo in subject.photos:
            if photo.whole:
                await self.store.get_file(photo.whole, folder / f"photo-{photo.whole_sha256}", photo.whole_sha256)
        return tuple(str(folder / f"photo-{photo.whole_sha256 or photo.sha256}") for photo in subject.photos)

    async def _pupil(self, subject: Subject, folder: Path, hello: Hello, recipe: Recipe) -> Pupil:
        """What the engine is to know of a subject that it learns; its photos come into `folder`."""
        for photo in subject.photos:
            await self.store.get_file(photo.key, folder / f"photo-{photo.sha256}", photo.sha256)
        return Pupil(
            subject=subject.id,
            noun=subject.noun,
            photos=tuple(str(folder / f"photo-{photo.sha256}") for photo in subject.photos),
            wholes=await self._wholes(subject, folder) if recipe.aspect_buckets else (),
            captions=tuple(photo.caption for photo in subject.photos),
            class_set=str(await self.cache.path(class_set_key(hello.base_sha256, subject.noun, recipe))),
            class_set_gently=str(await self.cache.path(class_set_key(hello.base_sha256, subject.noun, recipe, 1))),
        )

    async def _imagine(self, job: ImagineJob, hello: Hello, folder: Path, told: Told) -> ImagineTask:
        subjects = [await self.subjects.get(subject) for subject in job.subjects]
        check_company(subjects)  # one may have been learned anew meanwhile
        weights = {subject.weights_sha256: await self._weights(subject, told) for subject in subjects}
        paths = sorted(weights.values())  # the same sum however a prompt names them
        facts = {"prompt": job.prompt, "job": job.id}
        if subjects:
            facts["subject"] = ", ".join(subject.name for subject in subjects)
            facts["subject version"] = ", ".join(str(subject.weights_sha256) for subject in subjects)
        return ImagineTask(
            job=job.id,
            folder=str(folder),
            prompt=job.model_prompt,
            weights=paths[0] if paths else None,
            adapters=tuple(paths[1:]),
            seeds=tuple((job.seed + k) % 2**32 for k in range(job.count)),
            steps=job.steps,
            guidance=job.guidance,
            negative=job.negative,
            scheduler=job.scheduler,
            size_px=job.size_px,
            vary_seed=job.vary_seed,
            facts=facts,
        )

    async def _weights(self, subject: Subject, told: Told) -> str:
        """Path of a subject's weights."""
        if not subject.weights_key or not subject.weights_sha256:
            raise UserError(f"{subject.name} is not ready yet.")
        path = await self.cache.path(subject.weights_key, subject.weights_sha256, told)
        if not path.exists():
            raise Missing(subject.weights_key)
        return str(path)

    async def keep_class_set(self, task: Task) -> None:
        """Upload the class sets of a training that the store has not yet."""
        pupils = task.pupils if isinstance(task, TrainTask) else ()
        for path in {path for each in pupils for path in (each.class_set, each.class_set_gently)}:
            if Path(path).exists() and not await self.store.exists(self._key(path)):
                # others may have it by then: if nobody waits for this any more it is not to be taken back
                await asyncio.shield(self.store.put_file(self._key(path), Path(path)))

    def _key(self, cached: str) -> str:
        """The name in the store of what lies in the cache."""
        return Path(cached).relative_to(self.cache.folder).as_posix()

    async def sample(self, job: TrainJob, path: Path) -> Picture:
        """Store a sample picture that was drawn while training.

        Every attempt draws the same ones, but for what devices differ in: none takes another's place.
        """
        whose = await self.subjects.get(job.subjects[sample_of(path.stem)]) if job.others else None
        prefix = _samples_of(job, whose.id) if whose else attempt_prefix(job.id, SAMPLES)
        key = f"{prefix}{path.stem}/{await asyncio.to_thread(file_hash, path)}.png"
        step = _sample_step(path.stem)
        return await self._picture(key, path, _sample_caption(step, whose), step=step)

    async def samples(self, job: TrainJob, hello: Hello) -> tuple[Picture, ...]:
        """The sample pictures that earlier attempts have stored, oldest first."""
        found: dict[str, Picture] = {}  # by caption: one of each step, of each subject
        px = hello.image_px
        for whose in await asyncio.gather(*map(self.subjects.get, job.subjects)) if job.others else [None]:
            prefix = _samples_of(job, whose.id) if whose else attempt_prefix(job.id, SAMPLES)
            for key in await self.store.names(f"{prefix}sample-"):
                step = _sample_step(key.split("/")[-2])
                caption = _sample_caption(step, whose)
                found[caption] = Picture(key=key, width_px=px, height_px=px, caption=caption, step=step)
        return tuple(sorted(found.values(), key=lambda picture: picture.step or 0))

    async def publish_train(
        self,
        job: TrainJob,
        task: TrainTask,
        result: Result,
        hello: Hello,
        attempt: str,
        samples: tuple[Picture, ...],
        told: Told,
    ) -> Outcome:
        """Store the weights where no other attempt does; raises UserError if a subject was forgotten meanwhile.

        Each subject has them below its own name, so that forgetting one leaves the others theirs.
        """
        prefixes = {each: f"{weights_prefix(each)}{job.id}/{attempt}/" for each in job.subjects}
        kept = {
            each: await self._keep_weights(prefix, Path(result.files[0]), told) for each, prefix in prefixes.items()
        }
        candidates = [
            Candidate(step=choice.step, weights_key=key, weights_sha256=sha256)
            for choice in result.choices
            for key, sha256 in [await self._keep_weights(prefixes[job.subject], Path(choice.weights), told)]
        ]
        try:
            subjects = [await self.subjects.get(each) for each in job.subjects]
        except Missing as error:
            raise UserError(GONE) from error
        learned = [
            Learned(
                weights_key=kept[subject.id][0],
                weights_sha256=kept[subject.id][1],
                identifier=taught.identifier,
                recipe=task.recipe,
                base_revision=hello.revision,
                base_sha256=hello.base_sha256,
                class_set=self._key(taught.class_set),
                metrics=taught.metrics,
                before_after=await self._before_after(job, subject, taught, attempt),
                kept_step=result.kept_step,
                candidates=tuple(candidates),
                choices=await self._choices(job, subject, result, attempt),
                samples=tuple(s for s in samples if s.key.startswith(samples_prefix(subject.id))),
            )
            for subject, taught in zip(subjects, result.taught, strict=True)
        ]
        return Outcome(
            job=job.id,
            state="done",
            message=_ready(subjects),
            pictures=samples,
            learned=learned[0],
            others=dict(zip(job.others, learned[1:], strict=True)),
            subject=job.subject,
            subject_version=learned[0].weights_sha256,
            steps=len(result.losses),
            loss_first=_mean(result.losses[:10]),
            loss_last=_mean(result.losses[-10:]),
            validated=result.validated,
            settings={"seed": job.seed, **task.recipe},
        )

    async def _keep_weights(self, prefix: str, path: Path, told: Told) -> tuple[str, str]:
        """Store weights; return their name there and their hash."""
        sha256 = await asyncio.to_thread(file_hash, path)
        key = f"{prefix}{sha256}.safetensors"
        await self.store.put_file(key, path, told)
        return key, sha256

    async def _before_after(self, job: TrainJob, subject: Subject, taught: Taught, attempt: str) -> Picture | None:
        """Store the picture of the report card, if there is one."""
        if not taught.before_after:
            return None
        caption = f"any {subject.noun}, before {subject.name} was learned and after"
        prefix = f"{_samples_of(job, subject.id)}{attempt}/" if job.others else attempt_prefix(job.id, attempt)
        return await self._picture(f"{prefix}before-after.png", Path(taught.before_after), caption)

    async def _choices(self, job: TrainJob, subject: Subject, result: Result, attempt: str) -> Picture | None:
        """Store the picture of the candidates, if there is a choice."""
        if not result.choices_sheet:
            return None
        steps = ", ".join(str(choice.step) for choice in result.choices)
        caption = f"{subject.name} after {steps} steps, a row each"
        return await self._picture(f"{attempt_prefix(job.id, attempt)}choices.png", Path(result.choices_sheet), caption)

    async def publish_imagine(self, job: ImagineJob, task: ImagineTask, result: Result, attempt: str) -> Outcome:
        """Store the pictures and their grid."""
        prefix, captions = attempt_prefix(job.id, attempt), job.prompt
        pictures = []
        for seed, path in zip(task.seeds, result.files[:-1], strict=True):
            pictures.append(await self._picture(f"{prefix}{seed}.png", Path(path), captions, seed=seed))
        grid = await self._picture(f"{prefix}grid.png", Path(result.files[-1]), captions)
        settings = task.model_dump(
            include={"steps", "guidance", "negative", "scheduler", "vary_seed"}, exclude_none=True
        )
        return Outcome(
            job=job.id,
            state="done",
            message=f"{job.prompt}\n{result.message}".strip(),
            pictures=tuple(pictures),
            grid=grid,
            subject=job.subject,
            subject_version=task.facts.get("subject version"),
            settings={"seed": job.seed, "size": pictures[0].width_px, **settings},
        )

    async def _picture(self, key: str, path: Path, caption: str, **more: int | None) -> Picture:
        await self.store.put_file(key, path)
        with Image.open(path) as image:
            width_px, height_px = image.size
        return Picture(key=key, width_px=width_px, height_px=height_px, caption=caption, **more)


def _ready(subjects: list[Subject]) -> str:
    """Say that subjects were learned, and what to do with them."""
    names, prompts = [s.name for s in subjects], [f"a [{s.name}] {s.noun}" for s in subjects]
    is_ready = "is ready" if len(subjects) == 1 else "are ready, alone and together"
    written = listed([f"[{name}]" for name in names])
    return f"{listed(names)} {is_ready}. Write {written} in a prompt: /imagine {listed(prompts)} in Paris"


def _samples_of(job: TrainJob, subject: str) -> str:
    """Prefix of a subject's pictures in a training of several: they stay with it if another is forgotten."""
    return f"{samples_prefix(subject)}{job.id}/"


def _sample_step(name: str) -> int:
    """The step after which a sample was drawn, as the name of its file says."""
    return int(name.rpartition("-")[2])


def _sample_caption(step: int, whose: Subject | None = None) -> str:
    return f"sample{f' of {whose.name}' if whose else ''} at step {step}"


def _mean(losses: tuple[float, ...]) -> float:
    """Mean of a few losses: one alone says little, since each has its own noise and timestep."""
    return sum(losses) / len(losses)
