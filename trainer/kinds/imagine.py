"""How a worker draws: the task for the engine, and what becomes of its pictures."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from storage.contract.compatibility import check_compatible
from storage.contract.jobs import Quality, attempt_prefix
from storage.contract.outcomes import Outcome, Picture
from storage.contract.sizes import SIDE_MAX_PX, Size
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import Missing, StoreError, UserError
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.objects.transfers import OnProgress
from storage.queue.previews import are_previews_wanted, write_preview
from storage.queue.redis_errors import best_effort
from storage.text import plural
from trainer.kinds.engine_handler import EngineHandler
from trainer.kinds.pictures import StoredFile, still_there, store_pictures
from trainer.kinds.reference_photos import fetch_references
from trainer.models.darkroom_json import drawing_of
from trainer.models.families import family_of
from trainer.models.versions import BaseModelVersion, check_base
from trainer.protocol import Hello, ImagineTask, ProgressReport, TaskResult
from trainer.worker.attempt import Attempt

log = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks whether somebody watches
AHEAD_PIXELS = 2**26  # of requests that are under way at once: 256 pictures of 512 px, of three bytes a pixel


class ImagineHandler(EngineHandler[ImagineJob, ImagineTask, TaskResult]):
    """Draws the pictures of one job."""

    result = TaskResult
    _previews = 0  # that were published

    def __init__(self, job: ImagineJob, attempt: Attempt) -> None:
        super().__init__(job, attempt)
        self.stored: dict[int | None, Picture] = {}  # pictures that are done, by seed; the grid is of none

    @classmethod
    def fits_beside(cls, job: ImagineJob, running: Sequence[ImagineJob], hello: Hello | None) -> bool:
        """Requests are taken ahead as far as memory is sure to have room for all their pictures."""
        usual_px = hello.image_px if hello else SIDE_MAX_PX
        return sum(each.pixels(usual_px) for each in (job, *running)) <= AHEAD_PIXELS

    async def build(self, hello: Hello, hold: ExitStack) -> ImagineTask:
        """Fetch what the subjects are drawn from, and say how the engine is to draw."""
        job = self.job
        subjects = [await Subjects(self.attempt.store).whole(subject) for subject in job.subjects]
        source = await (self._photos(subjects[0], hello) if job.from_photos else self._learned(subjects, hello, hold))
        quality = quality_of(job, [] if job.from_photos else subjects, bool(hello.twin_folder))
        # The prompt as it was typed, since identifiers mean nothing to whoever reads a picture's metadata.
        facts = {"prompt": job.prompt, "job": job.id, **({"quality": quality} if hello.twin_folder else {})}
        if subjects:
            facts["subject"] = ", ".join(subject.name for subject in subjects)
        return ImagineTask(
            job=job.id,
            folder=str(self.attempt.folder),
            owner=f"{job.space}/{job.owner}",
            prompt=job.model_prompt,
            weights=source.weights[0] if source.weights else None,
            adapters=source.weights[1:],
            references=source.references,
            seeds=tuple((job.seed + k) % 2**32 for k in range(job.count)),
            negative=job.negative,
            quality=quality,
            **drawn_as(job, Path(hello.twin_folder if quality == "draft" else hello.folder)),
            vary_seed=job.vary_seed,
            exact=job.exact,
            facts=facts | source.facts,
            note=source.note,
        )

    async def _learned(self, subjects: Sequence[Subject], hello: Hello, hold: ExitStack) -> "_Source":
        """The weights that were learned."""
        check_compatible(subjects)  # one may have been learned anew meanwhile
        here, on_progress = BaseModelVersion(hello.revision, hello.base_sha256), self.attempt.reporter.moving("loading")
        note = await asyncio.to_thread(check_base, subjects, here, Path(hello.folder))
        weights = {subject.weights_sha256: await self._weights(subject, on_progress, hold) for subject in subjects}
        version = {"subject version": ", ".join(str(subject.weights_sha256) for subject in subjects)}
        paths = tuple(sorted(weights.values()))  # the same sum however a prompt names them
        return _Source(note, version if subjects else {}, weights=paths)

    async def _photos(self, subject: Subject, hello: Hello) -> "_Source":
        """The photos themselves."""
        family = await asyncio.to_thread(family_of, Path(hello.folder))
        photos = await fetch_references(self.attempt.store, subject, family, self.attempt.folder)
        return _Source(photos.note, {"drawn from": plural(len(photos.paths), "photo")}, references=photos.paths)

    async def _weights(self, subject: Subject, on_progress: OnProgress, hold: ExitStack) -> str:
        """Path of a subject's weights."""
        if not subject.weights_key or not subject.weights_sha256:
            raise UserError(f"{subject.name} is not ready yet.")
        path = await self.attempt.cache.path(subject.weights_key, subject.weights_sha256, on_progress, hold)
        if not path.exists():
            raise Missing(subject.weights_key)
        return str(path)

    async def run(self) -> Outcome:
        """Draw; while somebody looks, previews are shown."""
        viewers = asyncio.create_task(self._follow_viewers())
        try:
            return await super().run()
        finally:
            viewers.cancel()

    async def _follow_viewers(self) -> None:
        """Tell the engine whenever somebody begins or ceases to look, until cancelled."""
        is_watched = False
        while True:
            with best_effort("there are no previews"):
                wanted = await are_previews_wanted(self.attempt.redis, self.job.id)
                if wanted != is_watched and await self.attempt.engine.watch(self.job.id, wanted):
                    is_watched = wanted
            await asyncio.sleep(LOOK_S)

    async def on_report(self, report: ProgressReport) -> None:
        """Take in a report; store its pictures, and publish its preview."""
        await super().on_report(report)
        if report.pictures:
            await self._store_early({int(Path(path).stem): path for path in report.pictures})
        if report.preview:
            await self._show_preview(report, Path(report.preview))

    async def _show_preview(self, report: ProgressReport, path: Path) -> None:
        with best_effort("a preview is not shown"):
            async with asyncio.timeout(LOOK_S):  # what the engine says next must not wait long
                jpeg = await asyncio.to_thread(path.read_bytes)
                if await write_preview(self.attempt.redis, self.job.id, jpeg):
                    self._previews += 1
                    self.attempt.reporter.show(report.phase, report.step, report.of, {"preview": self._previews})

    async def _store_early(self, paths: Mapping[int | None, str]) -> None:
        """Store pictures while others are drawn, and show them; what is drawn again with less memory is there."""
        try:
            await self._store({seed: path for seed, path in paths.items() if seed not in self.stored})
        except (StoreError, OSError) as error:
            log.warning("pictures of job %s are stored when all are done: %s", self.job.id, error)
        self.attempt.reporter.samples = (*self.stored.values(),)

    async def _store(self, paths: Mapping[int | None, str]) -> None:
        """Store pictures by their seeds; raises StoreError."""
        prefix = attempt_prefix(self.job.id, self.attempt.name)
        names = {seed: "grid" if seed is None else seed for seed in paths}
        files = [
            StoredFile(f"{prefix}{names[seed]}.png", Path(path), self.job.prompt, seed) for seed, path in paths.items()
        ]
        self.stored |= zip(paths, await store_pictures(self.attempt.store, files), strict=True)

    async def publish(self, task: ImagineTask, hello: Hello, result: TaskResult) -> ImagineOutcome:
        """Store the pictures and their grid; raises UserError if a subject was forgotten meanwhile."""
        job, store = self.job, self.attempt.store
        files = dict(zip((*task.seeds, None), result.files, strict=True))  # the grid is of none
        await self._store({seed: path for seed, path in files.items() if seed not in self.stored})
        *pictures, grid = (self.stored[seed] for seed in files)
        await still_there(store, job)
        named = {"steps", "guidance", "negative", "scheduler", "vary_seed"} | (
            {"quality"} if hello.twin_folder else set()
        )
        settings = task.model_dump(include=named, exclude_none=True)
        return ImagineOutcome(
            job=job.id,
            state="done",
            message="\n".join(filter(None, (job.prompt, result.message, task.note))),
            pictures=tuple(pictures),
            grid=grid,
            subject_version=task.facts.get("subject version"),
            settings={
                "seed": job.seed,
                "size": str(Size(pictures[0].width_px, pictures[0].height_px)),
                **({"drawn from": task.facts["drawn from"]} if "drawn from" in task.facts else {}),
                **settings,
            },
        )


class _Source(NamedTuple):
    """What subjects are drawn from, as files, and what is said of it: to people, and in pictures."""

    note: str
    facts: dict[str, str]
    weights: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


def quality_of(job: ImagineJob, subjects: Sequence[Subject], has_twin: bool) -> Quality:
    """Which model draws: the few-step twin wherever it can, unless the job says otherwise.

    Raises UserError for a draft where there is no twin, or of what only the base model has learned.
    """
    full = [subject.name for subject in subjects if subject.method != "lora"]
    if job.quality == "draft" and not has_twin:
        raise UserError(
            "There is no few-step model here to draw drafts with: leave the quality out. Whoever runs me may name one "
            "in DARKROOM_BASE_MODEL, behind a comma."
        )
    if job.quality == "draft" and full:
        raise UserError(f"{full[0]} was learned in full, and drafts are drawn with LoRA alone: ask for quality final.")
    return "draft" if has_twin and not full and job.quality != "final" else "final"


def drawn_as(job: ImagineJob, base_folder: Path) -> dict[str, Any]:
    """The settings of a picture: what nobody asked for is as the base model's files say, if they say it."""
    drawing = drawing_of(base_folder)
    own = {
        "steps": drawing.steps,
        "guidance": drawing.guidance,
        "scheduler": drawing.scheduler,
    }
    asked = job.model_dump(include={*own})
    size = {"size": job.size, "side_px": drawing.size, "aspect": job.aspect}
    return size | asked | {name: own[name] for name in job.unasked if own.get(name) is not None}
