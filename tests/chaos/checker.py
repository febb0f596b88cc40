"""Reads the store and the chat after a run, and says what is not as it was promised."""

import asyncio
import hashlib
import io
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from bot.web.chat_log import ChatLog
from storage import queue
from storage.files import Store
from storage.jobs import Outcome, TrainJob, job_key, outcome_key, read_job
from storage.recipe import Recipe
from storage.settling import unsettled_key
from storage.subjects import NAMES, Subject, name_key, subject_key
from tests.chaos.scene import Scene
from trainer.classes import read_class_set
from trainer.dreambooth import learn
from trainer.models import load_base
from trainer.training.material import Subject as Photographed
from trainer.training.weights import save_learned

QUIET_WITHIN_S = 400
LITTER = ("probes/",)  # what a process that was killed while it looked at the store leaves: a few bytes


async def quiet(scene: Scene) -> list[str]:
    """Wait until every job has ended and the chat is at rest; return the jobs that have not ended."""
    until_s = time.monotonic() + QUIET_WITHIN_S
    while True:
        names = set(await scene.store.names("jobs/"))
        jobs = {name.split("/")[1] for name in names if name.endswith("/job.json")}
        left = sorted(job for job in jobs if outcome_key(job) not in names or unsettled_key(job) in names)
        queued = sum([await scene.redis.zcard(name) for name in queue.QUEUES.values()])
        if (not left and not queued and scene.chat.at_rest) or time.monotonic() > until_s:
            return left
        await asyncio.sleep(0.5)


class Checker:
    """The store after a run; `problems` gathers sentences."""

    def __init__(self, store: Store, model: Path) -> None:
        self.store, self.model = store, model
        self.problems: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.subjects: dict[str, Subject] = {}
        self.compared = 0  # trainings whose weights were learned again in peace

    async def check(self) -> None:
        """Look at everything."""
        freed = {*await self.store.names(NAMES)} - {*await self.store.names(NAMES, filled=True)}
        names = [name for name in await self.store.names("") if name not in freed]
        for name in names:
            if name.startswith("subjects/") and name.endswith("/subject.json"):
                subject = Subject.model_validate_json((await self.store.get(name)).data)
                self.subjects[subject.id] = subject
            elif name.startswith("jobs/") and name.endswith("/outcome.json"):
                outcome = Outcome.model_validate_json((await self.store.get(name)).data)
                self.outcomes[outcome.job] = outcome
        await self._check_outcomes()
        await self._check_subjects()
        await self._check_chat()
        known = set(self._known_names())
        self.problems += [f"{name} belongs to nothing" for name in names if name not in known and not _shared(name)]

    def _known_names(self) -> list[str]:
        known = []
        for job, outcome in self.outcomes.items():
            card = outcome.learned and outcome.learned.before_after
            pictures = [picture.key for picture in (*outcome.pictures, outcome.grid, card) if picture]
            known += [job_key(job), outcome_key(job), *pictures]
        for subject in self.subjects.values():
            own = [f"subjects/{subject.id}/subject.json", name_key(subject.space, subject.name)]
            known += [*own, *(p.key for p in (*subject.photos, *subject.samples)), subject.weights_key or ""]
        return known

    async def _check_outcomes(self) -> None:
        for outcome in self.outcomes.values():
            if outcome.state == "done" and outcome.grid and len(outcome.pictures) == 0:
                self.problems.append(f"job {outcome.job} is done without pictures")
            for picture in (*outcome.pictures, outcome.grid):
                if picture and not _whole_picture(await self._read(picture.key)):
                    self.problems.append(f"{picture.key} of job {outcome.job} is missing or damaged")

    async def _check_subjects(self) -> None:
        for subject in self.subjects.values():
            if subject.state == "learning":
                self.problems.append(f"{subject.name} is still being learned, by nobody")
            elif subject.state == "ready":
                data = await self._read(subject.weights_key or "-")
                if not data or hashlib.sha256(data).hexdigest() != subject.weights_sha256:
                    self.problems.append(f"the weights of {subject.name} are missing or damaged")
                outcome = self.outcomes.get(subject.job or "")
                if outcome and outcome.subject_version != subject.weights_sha256:
                    self.problems.append(f"{subject.name} has other weights than its job says")
            for photo in subject.photos:
                if hashlib.sha256(await self._read(photo.key) or b"").hexdigest() != photo.sha256:
                    self.problems.append(f"{photo.key} is missing or damaged")

    async def _check_chat(self) -> None:
        told: set[str] = set()
        for message in await ChatLog(self.store, "local").read():
            job = message.reply.job
            if not message.answered:
                self.problems.append(f"message {message.id} ({message.said}) never ends: {message.reply.text}")
            elif job == message.id and (outcome := self.outcomes.get(job)):
                if message.reply.state != outcome.state:
                    self.problems.append(f"the chat says {message.reply.state} of job {job}, which is {outcome.state}")
                if job in told:
                    self.problems.append(f"job {job} is told twice")
                told.add(job)

    async def compare(self) -> None:
        """Learn every subject again, in peace, and compare the weights bit for bit."""
        torch.set_num_threads(1)
        base = load_base(str(self.model))
        for subject in self.subjects.values():
            if subject.state != "ready" or not subject.job or subject.job not in self.outcomes:
                continue
            job = read_job((await self.store.get(job_key(subject.job))).data)
            assert isinstance(job, TrainJob)
            recipe = Recipe.model_validate(subject.recipe)
            with tempfile.TemporaryDirectory() as folder:
                class_set, weights = Path(folder, "class"), Path(folder, "weights.safetensors")
                await self.store.get_file(subject.class_set, class_set)
                paths = [Path(folder, photo.sha256) for photo in subject.photos]
                for photo, path in zip(subject.photos, paths, strict=True):
                    await self.store.get_file(photo.key, path)
                photographed = Photographed(paths, subject.noun, subject.identifier)
                learned = learn(base, photographed, read_class_set(class_set), recipe, job.seed, lambda _: None)
                save_learned(weights, learned.denoiser, base.denoiser)
                self.compared += 1
                if hashlib.sha256(weights.read_bytes()).hexdigest() != subject.weights_sha256:
                    self.problems.append(f"{subject.name} was not learned as it would have been undisturbed")

    async def _read(self, key: str) -> bytes | None:
        return (await self.store.get(key)).data if await self.store.exists(key) else None


async def copies_left(store: Store, homes: list[Path]) -> list[str]:
    """Folders in the caches of workers that are of subjects which are forgotten."""
    folders = [folder for home in homes for folder in (home / "cache" / "subjects").glob("*")]
    return [str(folder) for folder in folders if not await store.exists(subject_key(folder.name))]


def _shared(name: str) -> bool:
    return name.startswith(("classes/", "chats/", "receipts/", *LITTER))


def _whole_picture(data: bytes | None) -> bool:
    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            image.load()
    except OSError:
        return False
    return True
