"""What an attempt at a training has made goes to the store, below names that no other attempt has."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.background_tasks import in_background
from storage.contract.jobs import attempt_prefix
from storage.contract.outcomes import Candidate, Picture
from storage.contract.photo_source import COMPARED, better_source
from storage.contract.sizes import png_size
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, samples_prefix, weights_prefix
from storage.errors import Missing
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.lifecycle.finalize import finalize_job, is_open
from storage.objects.store import Store
from storage.objects.transfers import OnProgress, file_hash
from storage.text import listed
from trainer.dreambooth.class_set_file import is_whole
from trainer.dreambooth.prompts import sample_of
from trainer.kinds.pictures import picture_of, still_there, store_picture
from trainer.protocol import Hello, SubjectResult, TrainResult, TrainTask
from trainer.worker.cache import Cache

SAMPLES = "samples"  # stands where the name of an attempt does: sample pictures belong to all attempts of a training


class TrainPublisher:
    """Stores what one attempt has made, and says what came of it."""

    def __init__(self, store: Store, cache: Cache, attempt: str) -> None:
        self.store, self.cache, self.attempt, self.subjects = store, cache, attempt, Subjects(store)

    async def keep_class_set(self, task: TrainTask) -> None:
        """Upload the class sets of a training that the store has not yet, and that are whole: all workers have them."""
        for path in {path for each in task.subjects for path in (each.class_set, each.class_set_gently) if path}:
            whole = await asyncio.to_thread(is_whole, Path(path))
            if whole and not await self.store.exists(self._key(path)):
                # others may have it by then: if nobody waits for this any more it is not to be taken back
                await asyncio.shield(in_background(self.store.put_file(self._key(path), Path(path))))

    def _key(self, cached: str) -> str:
        """The name in the store of what lies in the cache."""
        return Path(cached).relative_to(self.cache.folder).as_posix()

    async def sample(self, job: TrainJob, path: Path) -> Picture:
        """Store a sample picture that was drawn while training.

        Every attempt draws the same ones, but for what devices differ in, and gives them the same names: what one has
        stored another may have published, so it is not taken back when nobody waits for it any more.
        """
        whose = await self.subjects.get(job.subjects[sample_of(path.stem)]) if len(job.subjects) > 1 else None
        prefix = _samples_of(job, whose.id) if whose else attempt_prefix(job.id, SAMPLES)
        key = f"{prefix}{path.stem}/{await asyncio.to_thread(file_hash, path)}.png"
        picture = picture_of(key, path, _sample_caption(step := _sample_step(path.stem), whose), step=step)
        await asyncio.shield(in_background(self._share(job, key, path)))
        return picture

    async def _share(self, job: TrainJob, key: str, path: Path) -> None:
        """Store what attempts share, and look back: it may have been late, and nobody else would remove it."""
        await self.store.put_file(key, path)
        if not await is_open(self.store, job):
            await finalize_job(self.store, job)

    async def samples(self, job: TrainJob) -> tuple[Picture, ...]:
        """The sample pictures that earlier attempts have stored, oldest first; one that is damaged is left out."""
        by_caption: dict[str, Picture] = {}  # by caption: one of each step, of each subject
        for whose in await asyncio.gather(*map(self.subjects.get, job.subjects)) if len(job.subjects) > 1 else [None]:
            prefix = _samples_of(job, whose.id) if whose else attempt_prefix(job.id, SAMPLES)
            for key in await self.store.names(f"{prefix}sample-"):
                step = _sample_step(key.split("/")[-2])
                caption = _sample_caption(step, whose)
                with suppress(Missing, ValueError):
                    size = png_size((await self.store.get(key)).data)
                    by_caption[caption] = Picture(key=key, **size._asdict(), caption=caption, step=step)
        return tuple(sorted(by_caption.values(), key=lambda picture: picture.step or 0))

    async def train(
        self,
        job: TrainJob,
        task: TrainTask,
        result: TrainResult,
        hello: Hello,
        samples: tuple[Picture, ...],
        on_progress: OnProgress,
    ) -> TrainOutcome:
        """Store the weights where no other attempt does; raises UserError if a subject was forgotten meanwhile.

        Each subject has them below its own name, so that forgetting one leaves the others theirs.
        """
        for_all = {"recipe": task.recipe, "base_revision": hello.revision, "base_sha256": hello.base_sha256}
        weights = [await self._keep_weights(job, each, Path(result.files[0]), on_progress) for each in job.subjects]
        candidates = [
            await self._keep_weights(job, job.subjects[0], Path(c.weights), on_progress) for c in result.choices
        ]
        # Asked after the uploads: forgetting removes the record first and then all below it, so one sees the other.
        subjects = await still_there(self.store, job)
        choice = await self._choice(job, subjects[0], result, candidates)
        learned = [
            TrainedSubject(
                subject=subject.id,
                **kept,
                **for_all,
                **choice,
                identifier=taught.identifier,
                class_set=self._key(taught.class_set) if taught.class_set else "",
                photos_differ=subject_task.differ,
                **await self._examined(job, subject, taught),
                samples=tuple(s for s in samples if s.key.startswith(samples_prefix(subject.id))),
            )
            for subject, subject_task, taught, kept in zip(
                subjects, task.subjects, result.subjects, weights, strict=True
            )
        ]
        return TrainOutcome(
            job=job.id,
            state="done",
            message="\n".join(filter(None, (_ready(subjects), result.message))),
            pictures=samples,
            subjects=tuple(learned),
            subject_version=learned[0].weights_sha256,
            steps=len(result.losses),
            loss_first=_mean(result.losses[:10]),
            loss_last=_mean(result.losses[-10:]),
            validated=result.validated,
            settings={"seed": job.seed, **task.recipe},
        )

    async def _choice(
        self, job: TrainJob, subject: Subject, result: TrainResult, candidates: list[dict[str, str]]
    ) -> dict[str, Any]:
        """What the record of a subject says of the candidates that a person chooses from, whose weights are stored."""
        choices = zip(result.choices, candidates, strict=True)
        return {
            "kept_step": result.kept_step,
            "candidates": tuple(Candidate(step=c.step, measures=c.measures, **kept) for c, kept in choices),
            "choices": await self._choices(job, subject, result),
        }

    async def _keep_weights(self, job: TrainJob, subject: str, path: Path, on_progress: OnProgress) -> dict[str, str]:
        """Store weights below a subject's name; return what its record says of them."""
        sha256 = await asyncio.to_thread(file_hash, path)
        key = f"{weights_prefix(subject)}{job.id}/{self.attempt}/{sha256}.safetensors"
        await self.store.put_file(key, path, on_progress)
        return {"weights_key": key, "weights_sha256": sha256}

    async def _examined(self, job: TrainJob, subject: Subject, taught: SubjectResult) -> dict[str, Any]:
        """What the record of a subject says of its report cards, whose pictures are stored, and of what it is drawn."""
        of_class = f"any {subject.noun}, before {subject.name} was learned and after"
        compared = f"{subject.name} in places: above drawn from the photos alone, below as it was learned"
        return {
            "metrics": taught.metrics,
            "before_after": await self._card_picture(job, subject, "before-after.png", taught.before_after, of_class),
            "first_look": taught.first_look,
            "compared": await self._card_picture(job, subject, COMPARED, taught.compared, compared),
            "drawn_from": better_source(taught.metrics, taught.first_look),
        }

    async def _card_picture(
        self, job: TrainJob, subject: Subject, name: str, path: str, caption: str
    ) -> Picture | None:
        """Store a picture of a report card, if there is one."""
        if not path:
            return None
        prefix = (
            f"{_samples_of(job, subject.id)}{self.attempt}/"
            if len(job.subjects) > 1
            else attempt_prefix(job.id, self.attempt)
        )
        return await store_picture(self.store, f"{prefix}{name}", Path(path), caption)

    async def _choices(self, job: TrainJob, subject: Subject, result: TrainResult) -> Picture | None:
        """Store the picture of the candidates, if there is a choice."""
        if not result.choices_sheet:
            return None
        steps = ", ".join(str(choice.step) for choice in result.choices)
        caption = f"{subject.name} after {steps} steps, a row each"
        return await store_picture(
            self.store, f"{attempt_prefix(job.id, self.attempt)}choices.png", Path(result.choices_sheet), caption
        )


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
