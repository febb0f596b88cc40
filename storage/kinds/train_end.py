"""What follows from the end of a training: the records of its subjects say it, and what nobody needs any more goes.

Of two trainings of a subject the one that was accepted later counts, whichever ends first.
"""

import logging
from collections.abc import Collection
from contextlib import suppress

from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key, samples_until
from storage.contract.records import parsed
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, checkpoint_prefix, logs_prefix, samples_prefix, weights_prefix
from storage.errors import Damaged, Missing, Newer, StoreError
from storage.ids import is_id
from storage.kinds.kind import JobKind, OpenLimits
from storage.kinds.train import TrainJob, TrainOutcome
from storage.objects.store import Store
from storage.settings.bot import BotSettings

log = logging.getLogger(__name__)


class TrainKind(JobKind[TrainJob, TrainOutcome]):
    """How many trainings are accepted, and what follows from one."""

    def limits(self, settings: BotSettings) -> OpenLimits:
        """How many may wait or run at once."""
        return OpenLimits(settings.trainings_per_person, settings.trainings_per_space)

    async def accepted(self, store: Store, job: TrainJob) -> TrainJob:
        """The training as accepted after all others of its subjects, whatever the clock says."""
        accepted_s = await Subjects(store).ordered(job.subjects, job.accepted_s)
        return job.model_copy(update={"accepted_s": accepted_s})

    async def note_end(self, store: Store, job: TrainJob, outcome: TrainOutcome) -> None:
        """Make the records of its subjects say how a training ended; harmless if they are forgotten.

        A first training that was cancelled leaves nothing; one that failed keeps its photos, so that it can be tried
        again. Raises Damaged or Newer, once the others are done, for a record that cannot be read.
        """
        subjects, unreadable = Subjects(store), list[StoreError]()
        for each in job.subjects:
            try:
                subject = await subjects.change(each, lambda record: _with_result(record, job, outcome))
            except Missing:
                await store.delete_prefix(f"subjects/{each}/")
                continue
            except (Damaged, Newer) as error:
                unreadable.append(error)
                continue
            if outcome.state == "cancelled" and subject.state == "learning":
                await subjects.forget(subject)
        if unreadable:
            raise unreadable[0]

    async def clean_up(self, store: Store, job: TrainJob) -> None:
        """Delete its checkpoints, and weights and samples of its subjects that no training needs any more."""
        await store.delete_prefix(checkpoint_prefix(job.subjects[0], job.id))
        for each in job.subjects:
            try:
                subject = await Subjects(store).whole(each)
            except Missing:
                await store.delete_prefix(f"subjects/{each}/")
                continue
            except Newer as error:
                log.warning("weights and samples stay as they are: %s", error)
                continue
            for name in await store.names(weights_prefix(each)):
                if await _is_left_over(store, subject, name):
                    await store.delete(name)
            for name in await store.names(samples_prefix(each)):
                if await _is_old_sample(store, subject, name):
                    await store.delete(name)

    async def is_needed(self, store: Store, job: TrainJob, names: Collection[str]) -> bool:
        """Whether a subject was made by the training, or shows pictures of it."""
        for each in job.subjects:
            with suppress(Missing):
                subject = await Subjects(store).whole(each)
                if subject.job == job.id or _picture_keys(subject) & {*names}:
                    return True
        return False

    async def discard(self, store: Store, job: TrainJob) -> None:
        """Delete its checkpoints, and subjects that it was to make."""
        await store.delete_prefix(checkpoint_prefix(job.subjects[0], job.id))
        for each in job.subjects:
            with suppress(Missing, Damaged):
                subject = await Subjects(store).get(each)
                if subject.state == "learning" and not subject.is_newer:
                    await Subjects(store).forget(subject)

    async def erase(self, store: Store, job: TrainJob) -> None:
        """Delete what TensorBoard shows of a training of several: it has sample pictures of all."""
        await store.delete_prefix(f"{logs_prefix(job.subjects[0])}{job.id}/")


TRAIN = TrainKind("train", TrainJob, TrainOutcome, needs_gpu=True, learns=True, noun="training", counted="training")


def _picture_keys(subject: Subject) -> set[str]:
    pictures = (*subject.samples, subject.before_after, subject.choices, subject.compared)
    return {picture.key for picture in pictures if picture}


def _with_result(subject: Subject, job: TrainJob, outcome: TrainOutcome) -> Subject:
    if outcome.state == "failed" and subject.state == "learning":
        return subject.model_copy(update={"state": "failed"})
    trained = outcome.learned_of(subject.id)
    if trained is None or subject.learned_s >= job.accepted_s:  # it may have been chosen otherwise since
        return subject
    says = {name for name in type(trained).model_fields if name != "subject"}
    learned = {name: getattr(trained, name) for name in says} | (trained.model_extra or {})
    decided = 0 if trained.candidates else trained.kept_step
    learned["samples"] = samples_until(trained.samples or outcome.pictures, decided)
    how = {"method": trained.recipe.get("method", job.method), "job": job.id, "learned_s": job.accepted_s}
    return subject.model_copy(update={**learned, **how, "state": "ready"})


async def _is_old_sample(store: Store, subject: Subject, sample: str) -> bool:
    """Whether a sample picture is of a training that has ended, and not of the one that made the subject."""
    by = sample.removeprefix(samples_prefix(subject.id)).split("/")[0]
    open_ = await store.exists(job_key(by)) and not await store.exists(outcome_key(by))
    return not open_ and sample not in _picture_keys(subject)


async def _is_left_over(store: Store, subject: Subject, weights: str) -> bool:
    """Whether weights are of a training that has ended without them, or was followed by another one."""
    by = weights.removeprefix(weights_prefix(subject.id)).split("/")[0]
    if not is_id(by):  # imported
        return weights != subject.weights_key
    if weights == subject.weights_key:
        return False
    try:
        job = parsed(TrainJob, (await store.get(job_key(by))).data, job_key(by))
    except Missing:  # it went with one of several who were learned in it
        return True
    except (Damaged, Newer) as error:
        log.warning("whether anybody needs %s cannot be told: %s", weights, error)
        return False
    try:
        outcome = parsed(TrainOutcome, (await store.get(outcome_key(by))).data, outcome_key(by))
    except (Missing, Newer):
        return False  # they may still be published, or are in a way that is not understood
    except Damaged as error:
        log.warning("whether anybody needs %s cannot be told: %s", weights, error)
        return False
    if outcome.is_newer:
        return False
    learned = outcome.learned_of(subject.id)
    if not learned or subject.learned_s > job.accepted_s:
        return True
    says = subject if subject.learned_s == job.accepted_s else learned  # it may not be noted yet
    return weights not in {says.weights_key, *(candidate.weights_key for candidate in says.candidates)}
