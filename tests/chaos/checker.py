"""Reads the store and the chat after a run, and says what is not as it was promised."""

import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image

from bot.commands.drafts import asked_about
from bot.core.chat_log import ChatLog
from storage.contract.base import Stored
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.recipe import Recipe
from storage.contract.records import parsed_in_part
from storage.contract.subjects import NAMES, Subject, name_key, subject_key, unaccepted_key
from storage.errors import Damaged
from storage.kinds import KINDS
from storage.kinds.imagine import ImagineOutcome
from storage.kinds.stored import read_job, read_stored_job
from storage.kinds.train import TrainJob, TrainOutcome
from storage.lifecycle.erasure import Receipt
from storage.lifecycle.job_index import PREFIXES, JobIndex, about_prefix, job_of, space_key
from storage.objects.store import Store
from tests.support.stores import INDEXES
from trainer.dreambooth.class_images import read_class_set
from trainer.dreambooth.dataset import SubjectSpec as Photographed
from trainer.dreambooth.train import learn
from trainer.dreambooth.weights import save_learned
from trainer.models.base import load_base
from trainer.protocol import OURS

MISUNDERSTOOD = "do not understand each other"  # worker and engine, where one of them talks nonsense
DRAFTS = "drafts/"
LITTER = ("probes/",)  # what a process that was killed while it looked at the store leaves: a few bytes


S = TypeVar("S", bound=Stored)


class Checker:
    """The store after a run; `problems` gathers sentences."""

    def __init__(self, store: Store, model: Path) -> None:
        self.store, self.model = store, model
        self.problems: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.subjects: dict[str, Subject] = {}
        self.drafts: set[str] = set()  # trainings about which a question is open
        self.stale_entries: list[str] = []  # jobs that are gone, of which an index still tells
        self.compared = 0  # trainings whose weights were learned again in peace

    async def left_to_sweep(self) -> Counter[str]:
        """Count what belongs to nothing by the reason why it may, before it is swept; all else is a problem."""
        names = await self._read_records()
        left: Counter[str] = Counter()
        for name in self._orphans(names):
            if reason := _may_be_left(name, set(names)):
                left[reason] += 1
            else:
                self.problems.append(f"{name} belongs to nothing")
        return left

    async def check(self, accepted: Collection[str]) -> None:
        """Look at everything, once it is swept; `accepted` are the jobs that people were told are."""
        names = await self._read_records()
        await self._check_outcomes()
        await self._check_subjects()
        await self._check_chat()
        await self._check_accepted(accepted, names)
        await self._check_indexes(names)
        self.problems += [f"{name} belongs to nothing" for name in self._orphans(names) if not name.startswith(DRAFTS)]
        self.problems = list(dict.fromkeys(self.problems))  # some were there before the sweep, and still are

    async def _read_records(self) -> list[str]:
        """Read all outcomes and subjects; return the names of all that is stored."""
        names = [name for name in await self.store.names("") if not name.startswith(NAMES) or await self._read(name)]
        self.subjects, self.outcomes = {}, {}
        self.drafts = {asked_about(message.reply) for message in await ChatLog(self.store, "local").read()}
        for name in names:
            if name.startswith("subjects/") and name.endswith("/subject.json"):
                self.subjects |= {subject.id: subject for subject in await self._record(Subject, name)}
            elif name.startswith("jobs/") and name.endswith("/outcome.json"):
                job = await JobIndex(self.store).job(name.split("/")[1])
                record = KINDS[job.kind].outcome if job and job.kind in KINDS else Outcome  # a newer version's, too
                self.outcomes |= {outcome.job: outcome for outcome in await self._record(record, name)}
        return names

    async def _record(self, kind: type[S], name: str) -> list[S]:
        """The record of that name; none if it is damaged, which is a problem."""
        try:
            return [parsed_in_part(kind, (await self.store.get(name)).data, name)]
        except Damaged as error:
            self.problems.append(str(error))
            return []

    def _orphans(self, names: list[str]) -> list[str]:
        known = set(self._known_names())
        open_ = {job for job in map(_job_of, names) if job and job not in self.outcomes and job_key(job) in names}
        unclear = [name for name in names if name not in known and not _shared(name)]
        return [name for name in unclear if not (open_ | self.drafts) & {*name.split("/")}]  # those are told of as lost

    def _known_names(self) -> list[str]:
        known = []
        for job, outcome in self.outcomes.items():
            known += [job_key(job), outcome_key(job), *outcome.published]
        for subject in self.subjects.values():
            own = [f"subjects/{subject.id}/subject.json", name_key(subject.space, subject.name)]
            known += [*own, *(p.key for p in (*subject.photos, *subject.samples)), subject.weights_key or ""]
        return known

    async def _check_outcomes(self) -> None:
        for outcome in self.outcomes.values():
            if outcome.state == "failed" and outcome.message == OURS and MISUNDERSTOOD not in outcome.detail:
                self.problems.append(f"job {outcome.job} failed for no reason that we know: {outcome.detail}")
            if isinstance(outcome, ImagineOutcome) and outcome.state == "done" and not outcome.pictures:
                self.problems.append(f"job {outcome.job} is done without pictures")
            for key in sorted(outcome.published):
                if not _whole_picture(await self._read(key)):
                    self.problems.append(f"{key} of job {outcome.job} is missing or damaged")

    async def _check_subjects(self) -> None:
        for subject in self.subjects.values():
            if subject.state == "learning":
                self.problems.append(f"{subject.name} ({subject.id}) is still being learned, by nobody")
            elif subject.state == "ready":
                data = await self._read(subject.weights_key or "-")
                if not data or hashlib.sha256(data).hexdigest() != subject.weights_sha256:
                    self.problems.append(f"the weights of {subject.name} ({subject.id}) are missing or damaged")
                outcome = self.outcomes.get(subject.job or "")
                if isinstance(outcome, TrainOutcome) and outcome.subject_version != subject.weights_sha256:
                    self.problems.append(f"{subject.name} ({subject.id}) has other weights than its job says")
            for photo in subject.photos:
                if hashlib.sha256(await self._read(photo.key) or b"").hexdigest() != photo.sha256:
                    self.problems.append(f"{photo.key} is missing or damaged")

    async def _check_chat(self) -> None:
        for message in await ChatLog(self.store, "local").read():
            job = message.reply.job
            if not message.answered:
                self.problems.append(f"message {message.id} ({message.said}) never ends: {message.reply.text}")
            elif job == message.id and (outcome := self.outcomes.get(job)) and message.reply.state != outcome.state:
                self.problems.append(f"the chat says {message.reply.state} of job {job}, which is {outcome.state}")

    async def _check_accepted(self, accepted: Collection[str], names: Collection[str]) -> None:
        """A job that was accepted has an outcome, unless it went with a subject, which a receipt says."""
        receipts = [await self._read(name) for name in await self.store.names("receipts/")]
        removed = {name for body in receipts if body for name in Receipt.model_validate_json(body).removed}
        missing = [job for job in accepted if job not in self.outcomes and job_key(job) not in names]
        gone = [job for job in missing if job_key(job) not in removed]
        self.problems += [f"job {job} was accepted and is gone without a word" for job in gone]

    async def _check_indexes(self, names: Collection[str]) -> None:
        """Every job is in the index of its space, and none that is over counts as open."""
        open_ = await JobIndex(self.store).open_jobs()
        self.problems += [f"job {job} is over, and still counts as open" for job in open_ if job in self.outcomes]
        for job in self.outcomes:
            if data := await self._read(job_key(job)):
                try:
                    record = read_stored_job(data)
                except Damaged as error:
                    self.problems.append(f"job {job}: {error}")
                    continue
                if not {space_key(record.space, job), *(f"{about_prefix(s)}{job}" for s in record.subjects)} <= {
                    *names
                }:
                    self.problems.append(f"job {job} is missing in an index")
        entries = [name for name in names if name.startswith(PREFIXES)]
        gone = {job for job in map(job_of, entries) if job_key(job) not in names}
        self.stale_entries = sorted(gone)  # harmless: whoever reads one deletes it, once it is an hour old

    async def compare(self, skipped: Collection[str] = ()) -> None:
        """Learn every subject again, in peace, and compare the weights bit for bit; but these, which were damaged."""
        torch.set_num_threads(1)
        base = load_base(str(self.model))
        for subject in self.subjects.values():
            if subject.state != "ready" or not subject.job or subject.job not in self.outcomes:
                continue
            if {subject.id, subject.job, subject.class_set} & {*skipped}:
                continue
            job = read_job((await self.store.get(job_key(subject.job))).data)
            assert isinstance(job, TrainJob)
            recipe = Recipe.model_validate(subject.recipe)
            if 0 < subject.kept_step < recipe.steps:  # it diverged, or got no better
                continue
            with tempfile.TemporaryDirectory() as folder:
                class_set, weights = Path(folder, "class"), Path(folder, "weights.safetensors")
                await self.store.get_file(subject.class_set, class_set)
                paths = [Path(folder, photo.sha256) for photo in subject.photos]
                for photo, path in zip(subject.photos, paths, strict=True):
                    await self.store.get_file(photo.key, path)
                photographed = Photographed(paths, subject.noun, subject.identifier)
                learned = learn(base, [(photographed, read_class_set(class_set))], recipe, job.seed, lambda _: None)
                save_learned(weights, learned.denoiser, base.denoiser)
                self.compared += 1
                if hashlib.sha256(weights.read_bytes()).hexdigest() != subject.weights_sha256:
                    self.problems.append(
                        f"{subject.name} ({subject.id}) was not learned as it would have been undisturbed"
                    )

    async def _read(self, key: str) -> bytes | None:
        return (await self.store.get(key)).data if await self.store.exists(key) else None


async def copies_left(store: Store, homes: list[Path]) -> list[str]:
    """Folders in the caches of workers that are of subjects which are forgotten."""
    folders = [folder for home in homes for folder in (home / "cache" / "subjects").glob("*")]
    return [str(folder) for folder in folders if not await store.exists(subject_key(folder.name))]


def _job_of(name: str) -> str:
    kind, _, rest = name.partition("/")
    return rest.split("/")[0] if kind == "jobs" else ""


def _may_be_left(name: str, names: Collection[str]) -> str:
    """Why a crash may have left an object to the sweep; empty if none may."""
    kind, _, rest = name.partition("/")
    owner = rest.split("/")[0]
    if kind == "jobs" and job_key(owner) not in names:
        return "came late, of a job that is deleted"
    if kind == "subjects" and subject_key(owner) not in names:
        return "came late, of a subject that is forgotten"
    if name == unaccepted_key(owner):
        return "a subject whose training was never accepted"
    if kind == "drafts":
        return "a draft whose question nobody has seen, which goes after a day"
    return "a name of nobody" if name.startswith(NAMES) else ""


def _shared(name: str) -> bool:
    return name.startswith(("classes/", "chats/", "receipts/", *INDEXES, *LITTER))


def _whole_picture(data: bytes | None) -> bool:
    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            image.load()
    except OSError:
        return False
    return True
