"""Jobs and outcomes that another version of Darkroom wrote: a rolling upgrade, and a rollback."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import RetryJob, func

from bot.app import Darkroom
from storage.contract.jobs import NewerJob, job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, subject_key
from storage.errors import Damaged, Newer
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.kinds.stored import read_ending, read_job, read_stored_job, stored_job
from storage.kinds.train import TrainJob, TrainOutcome
from storage.lifecycle.reconcile import put_back
from storage.lifecycle.repair import check_jobs
from storage.queue import broker
from storage.queue.job_progress import progress_key
from storage.settings.trainer import TrainerSettings
from tests.support.newer_records import IMAGINE, first_news, last, lone_bot, written
from trainer.kinds import handlers_of
from trainer.worker.engine_client import EngineClient
from trainer.worker.job_runner import JobRunner
from trainer.worker.queue_worker import QueueWorker


@pytest.fixture
async def app(tmp_path: Path, redis: ArqRedis) -> AsyncIterator[Darkroom]:
    async with lone_bot(tmp_path, redis) as darkroom:
        yield darkroom


def test_a_field_more_is_ignored_and_a_field_less_has_its_default() -> None:
    job = read_job(written(IMAGINE, upscale=2))
    assert isinstance(job, ImagineJob) and job.prompt == "a dog"
    assert read_job(written(IMAGINE, guidance=None, schema_version=None)) == IMAGINE


def test_records_carry_their_version_and_one_without_is_of_the_first() -> None:
    assert json.loads(IMAGINE.model_dump_json())["schema_version"] == 1
    assert read_job(written(IMAGINE, schema_version=None)).schema_version == 1


@pytest.mark.parametrize(
    "fields", [{"schema_version": 3}, {"kind": "upscale"}, {"scheduler": "lcm"}, {"schema_version": 3, "count": "many"}]
)
def test_a_job_of_a_newer_version_is_told_apart_from_a_damaged_one(fields: dict[str, object]) -> None:
    job = read_stored_job(written(IMAGINE, **fields))
    assert isinstance(job, NewerJob) and (job.owner, job.said) == ("ada", "/imagine a dog")
    with pytest.raises(Newer):
        read_job(written(IMAGINE, **fields))


@pytest.mark.parametrize("fields", [{"kind": "imagyne"}, {"scheduler": "dbim"}, {"count": "many"}, {"kind": "\x00"}])
def test_a_garbled_word_is_damage(fields: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        read_stored_job(written(IMAGINE, **fields))


@pytest.mark.parametrize("fields", [{"schema_version": 3}, {"kind": "upscale"}])
async def test_a_job_of_a_newer_version_is_followed_listed_and_cancelled(
    app: Darkroom, fields: dict[str, object]
) -> None:
    await app.store.put(job_key(IMAGINE.id), written(IMAGINE, **fields))
    assert await put_back(app.store, app.redis) == [IMAGINE.id]
    assert await put_back(app.store, app.redis) == []
    assert (await first_news(app, IMAGINE.id)).text == "Waits for a worker of a newer version."
    assert IMAGINE.id in (await last(app, "jobs")).facts
    assert (await last(app, "dreambooth cancel", job=IMAGINE.id)).text == "Stopped: /imagine a dog"
    outcome = await read_ending(app.store, IMAGINE.id)
    assert outcome and outcome.state == "cancelled"


@pytest.mark.parametrize(
    "fields", [{"owner": {"id": "ada"}}, {"space": ["home"]}, {"kind": 5}, {"id": 5}, {"shared": {"with": "all"}}]
)
async def test_a_newer_job_whose_base_fields_have_other_types_is_left_alone(
    app: Darkroom, fields: dict[str, object]
) -> None:
    body = written(IMAGINE, schema_version=3, **fields)
    await app.store.put(job_key(IMAGINE.id), body)
    assert isinstance(await stored_job(app.store, IMAGINE.id), NewerJob)
    await put_back(app.store, app.redis)
    assert [finding async for finding in check_jobs(app.store, dry_run=False)] == []
    assert (await app.store.get(job_key(IMAGINE.id))).data == body
    assert await read_ending(app.store, IMAGINE.id) is None, "it has not ended"


async def test_a_newer_outcome_of_other_types_is_not_mended(app: Darkroom) -> None:
    await app.store.put(job_key(IMAGINE.id), written(IMAGINE))
    body = written(Outcome(job=IMAGINE.id, state="done", message=""), schema_version=2, state={"done": 4})
    await app.store.put(outcome_key(IMAGINE.id), body)
    assert [finding async for finding in check_jobs(app.store, dry_run=False)] == []
    assert (await app.store.get(outcome_key(IMAGINE.id))).data == body


async def test_pictures_of_a_newer_outcome_are_not_taken_for_strays(app: Darkroom) -> None:
    await app.store.put(job_key(IMAGINE.id), written(IMAGINE))
    picture = f"jobs/{IMAGINE.id}/a/1.png"
    await app.store.put(picture, b"png")
    outcome = Outcome(job=IMAGINE.id, state="done", message="")
    await app.store.put(outcome_key(IMAGINE.id), written(outcome, schema_version=2, pictures={"1": picture}))
    await app.dispatch.index.add(IMAGINE)
    await put_back(app.store, app.redis)
    assert await app.store.exists(picture)


async def test_an_outcome_of_other_types_is_not_called_damaged(app: Darkroom) -> None:
    await app.dispatch.accept(IMAGINE)
    await app.store.put(
        outcome_key(IMAGINE.id),
        written(Outcome(job=IMAGINE.id, state="done", message=""), schema_version=2, message={"en": "Here."}, job=5),
    )
    assert "newer version" in [reply async for reply in app.watch(IMAGINE.id)][-1].text
    assert "damaged" not in (await last(app, "jobs")).facts[IMAGINE.id]


async def test_a_training_whose_first_loss_was_no_number_is_told(app: Darkroom) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await app.subjects.add(rex)
    job = TrainJob(space="home", owner="ada", subjects=(rex.id,))
    await app.dispatch.accept(job)
    outcome = TrainOutcome(job=job.id, state="done", message="Learned rex.", loss_first=float("nan"), loss_last=0.1)
    await app.store.put(outcome_key(job.id), outcome.model_dump_json().encode())
    assert [reply async for reply in app.watch(job.id)][-1].text.startswith("Learned rex.")
    assert (await last(app, "details", job=job.id)).facts["job"] == job.id


async def test_a_worker_leaves_a_newer_job_queued_and_takes_the_next(
    app: Darkroom, caplog: pytest.LogCaptureFixture, micro_model: Path
) -> None:
    newer, damaged = IMAGINE.id, new_id()
    await app.store.put(job_key(newer), written(IMAGINE, schema_version=3))
    await app.dispatch.enqueue(IMAGINE)
    await app.store.put(job_key(damaged), b"{torn")
    await app.dispatch.enqueue(IMAGINE.model_copy(update={"id": damaged}))
    runner = JobRunner(
        TrainerSettings(DARKROOM_HOME=app.settings.home),
        app.store,
        app.redis,
        EngineClient(str(micro_model)),
        handlers_of(),
    )
    tries: list[str] = []

    async def run(ctx: dict[str, Any], job_id: str) -> None:
        tries.append(job_id)
        await runner.run(ctx, job_id)

    functions = [func(run, name=broker.RUN_JOB)]
    worker = QueueWorker(app.redis, "imagine", functions, lease_s=2, poll_s=0.05, skipped=runner.left)
    working = asyncio.create_task(worker.run())
    async with asyncio.timeout(120):
        while not await app.store.exists(outcome_key(damaged)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)  # in which it would be taken again
    assert sorted(tries) == sorted([newer, damaged])
    assert await app.redis.zrange(broker.queue_name("imagine"), 0, -1) == [newer.encode()]
    assert not await app.store.exists(outcome_key(newer))
    assert caplog.text.count("is left to a worker of that version") == 1
    assert (await first_news(app, newer)).text == "Waits for a worker of a newer version."
    await worker.stop()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_recipe_with_a_number_that_only_a_newer_version_knows_waits_for_it(
    app: Darkroom, micro_model: Path
) -> None:
    job = TrainJob(space="home", owner="ada", subjects=(new_id(),), recipe={"sharpness": 2})
    await app.store.put(job_key(job.id), job.model_dump_json().encode())
    runner = JobRunner(
        TrainerSettings(DARKROOM_HOME=app.settings.home),
        app.store,
        app.redis,
        EngineClient(str(micro_model)),
        handlers_of(),
    )
    with pytest.raises(RetryJob):
        await runner.run({"job_try": 1}, job.id)
    assert runner.left == {job.id} and not await app.store.exists(outcome_key(job.id))


async def test_a_phase_that_only_a_newer_version_knows_is_said(app: Darkroom) -> None:
    await app.dispatch.accept(IMAGINE)
    progress = {"job": IMAGINE.id, "phase": "sharpening", "step": 1, "of": 4, "eta": "soon", "schema_version": 2}
    await app.redis.set(progress_key(IMAGINE.id), json.dumps(progress))
    assert (await first_news(app, IMAGINE.id)).text == "Sharpening, 1 of 4."
    await app.redis.set(progress_key(IMAGINE.id), json.dumps({**progress, "losses": "none"}))
    assert (await first_news(app, IMAGINE.id)).text == "Sharpening, 1 of 4."
    await app.redis.set(progress_key(IMAGINE.id), b"{torn")
    assert "Waiting" in (await first_news(app, IMAGINE.id)).text


async def test_an_outcome_of_a_newer_version_is_read_as_far_as_can_be(app: Darkroom) -> None:
    await app.dispatch.accept(IMAGINE)
    picture = Picture(key=f"jobs/{IMAGINE.id}/a/1.png", width_px=8, height_px=8)
    outcome = ImagineOutcome(job=IMAGINE.id, state="done", message="Here.", pictures=(picture,))
    newer = written(outcome, state="partly done", schema_version=2, grid=["a", "b"], cost=3)
    await app.store.put(outcome_key(IMAGINE.id), newer)
    reply = [reply async for reply in app.watch(IMAGINE.id)][-1]
    assert (reply.state, reply.text, reply.pictures) == ("failed", "Here.", (picture,))
    assert "partly done" in (await last(app, "jobs")).facts[IMAGINE.id]


async def test_the_record_of_another_thing_is_damage(app: Darkroom) -> None:
    other = new_id()
    await app.store.put(job_key(other), IMAGINE.model_dump_json().encode())
    await app.store.put(
        outcome_key(other), Outcome(job=IMAGINE.id, state="done", message="").model_dump_json().encode()
    )
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await app.store.put(subject_key(other), rex.model_dump_json().encode())
    for read in (app.dispatch.job(other), read_ending(app.store, other), Subjects(app.store).get(other)):
        with pytest.raises(Damaged):
            await read
