"""Subjects that a newer version of Darkroom wrote: nothing is lost, shown to more people, or taken for damage."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from bot.app import Darkroom
from bot.core.messages import Request
from storage.contract.jobs import job_key
from storage.contract.outcomes import Candidate, Outcome, outcome_key
from storage.contract.subjects import Photo, Subject, subject_key
from storage.errors import Newer
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.lifecycle.finalize import finalize_job
from storage.lifecycle.repair import CHECKS
from tests.support.newer_records import HASH, IMAGINE, last, lone_bot, written


@pytest.fixture
async def app(tmp_path: Path, redis: ArqRedis) -> AsyncIterator[Darkroom]:
    async with lone_bot(tmp_path, redis) as darkroom:
        yield darkroom


async def test_what_a_newer_version_wrote_outlives_a_change_by_this_one(app: Darkroom) -> None:
    photo = Photo(key="subjects/a/photos/b.png", sha256=HASH, name="b.png", side_px=64)
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m", photos=(photo,))
    await app.subjects.add(rex)
    fields = json.loads(rex.model_dump_json())
    fields["photos"][0]["depth_key"] = "subjects/a/depth/b.png"
    newer = {**fields, "colour": "brown", "schema_version": 2, "state": "paused", "shared": "friends"}
    await app.store.put(subject_key(rex.id), json.dumps(newer).encode())
    assert await app.subjects.find("home", "rex")
    await app.subjects.change(rex.id, lambda found: found.model_copy(update={"noun": "puppy"}))
    assert json.loads((await app.store.get(subject_key(rex.id))).data) == {**newer, "noun": "puppy"}


async def test_what_cannot_be_written_back_whole_is_not_changed(app: Darkroom) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await app.subjects.add(rex)
    body = written(rex, schema_version=2, photos={"front": []})
    await app.store.put(subject_key(rex.id), body)
    found = await app.subjects.find("home", "rex")
    assert found and found.photos == ()
    with pytest.raises(Newer):
        await app.subjects.change(rex.id, lambda found: found.model_copy(update={"noun": "puppy"}))
    assert "newer version" in (await last(app, "dreambooth share", name="rex", **{"with": "private"})).text
    assert (await app.store.get(subject_key(rex.id))).data == body
    assert (await last(app, "dreambooth forget", name="rex")).text.startswith("Forgot rex")


@pytest.mark.parametrize("newer", [{"shared": "friends"}, {"shared": ["club", "yard"], "schema_version": 2}])
async def test_an_audience_that_only_a_newer_version_knows_is_closed(app: Darkroom, newer: dict[str, Any]) -> None:
    for owner, name in (("bob", "rex"), ("ada", "mia")):
        subject = Subject(space="home", owner=owner, name=name, noun="dog", base_model="m", state="ready")
        await app.subjects.add(subject)
        await app.store.put(subject_key(subject.id), written(subject, **newer))
    assert list((await last(app, "dreambooth list")).facts) == ["mia"]
    assert (await last(app, "dreambooth show", name="mia")).state == "done"


NEWER_SUBJECT = [
    {"owner": {"id": "ada"}},
    {"space": ["home"]},
    {"name": {"en": "rex"}},
    {"id": 5},
    {"noun": ["dog"], "base_model": None},
    {"state": {"ready": 1}, "photos": {"front": []}},
]


@pytest.mark.parametrize("fields", NEWER_SUBJECT)
async def test_a_newer_subject_whose_base_fields_have_other_types_is_left_alone(
    app: Darkroom, fields: dict[str, object]
) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m", shared="private", created_s=1)
    await app.subjects.add(rex)
    job = TrainJob(space="home", owner="ada", subjects=(rex.id,))
    body = written(rex, schema_version=2, job=job.id, **fields)
    weights = f"subjects/{rex.id}/weights/{job.id}/a.safetensors"
    for key, data in ((subject_key(rex.id), body), (weights, b"w"), (job_key(job.id), written(job))):
        await app.store.put(key, data)
    await app.store.put(outcome_key(job.id), written(Outcome(job=job.id, state="failed", message="")))
    assert "damaged" not in (await last(app, "dreambooth train", name="rex", **{"class": "dog"})).text
    assert "damaged" not in (await last(app, "imagine", prompt="a [rex] in Paris")).text
    assert (await last(app, "dreambooth list")).state == "done"
    stranger = Request(space="home", user="bob", command="dreambooth forget", arguments={"name": "rex"}, confirmed=True)
    assert "Forgot" not in [reply async for reply in app.answer(stranger)][-1].text
    with suppress(Newer):
        await finalize_job(app.store, job)
    assert [finding for check in CHECKS async for finding in check(app.store, False)] == []
    assert (await app.store.get(subject_key(rex.id))).data == body
    assert (await app.store.get(weights)).data == b"w"
    with pytest.raises(Newer):
        await app.subjects.whole(rex.id)


@pytest.mark.parametrize("fields", NEWER_SUBJECT)
@pytest.mark.parametrize("command", ["dreambooth forget", "forget-me"])
async def test_a_newer_subject_is_forgotten_by_its_owner_or_named_as_left(
    app: Darkroom, fields: dict[str, object], command: str
) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await app.subjects.add(rex)
    await app.store.put(subject_key(rex.id), written(rex, schema_version=2, **fields))
    reply = await last(app, command, **({"name": "rex"} if command == "dreambooth forget" else {}))
    if await app.store.exists(subject_key(rex.id)):
        assert fields.keys() & {"owner", "space"}, "whose it is can be read"
        left = ("Only the person who made this", "Not deleted: 1 record")
        assert any(sentence in reply.text for sentence in left)
    else:
        assert reply.text.startswith("Forgot")


@pytest.mark.parametrize("metrics", [{"sharpness": 1.0}, {"likeness": 0.5}, {"portrait": 0.5, "diversity": 0.9}])
async def test_a_card_with_other_measures_is_shown_as_far_as_it_is_known(
    app: Darkroom, metrics: dict[str, float]
) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m", state="ready", metrics=metrics)
    job = TrainJob(space="home", owner="ada", subjects=(rex.id,))
    learned = TrainedSubject(weights_key="a/b", weights_sha256=HASH, identifier="zuf", recipe={}, metrics=metrics)
    candidates = (Candidate(step=9, weights_key="a/b", weights_sha256=HASH, measures=metrics),)
    outcome = TrainOutcome(
        job=job.id, state="done", message="", subjects=(learned,), steps=9, loss_first=1, loss_last=0
    )
    await app.subjects.add(rex.model_copy(update={"job": job.id, "candidates": candidates}))
    await app.store.put(job_key(job.id), job.model_dump_json().encode())
    await app.store.put(outcome_key(job.id), outcome.model_dump_json().encode())
    assert (await last(app, "dreambooth show", name="rex")).state == "done"
    assert (await last(app, "details", job=job.id)).state == "done"


async def test_a_subject_of_which_a_newer_version_has_jobs_can_be_forgotten(app: Darkroom) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await app.subjects.add(rex)
    job = ImagineJob(**{**IMAGINE.model_dump(), "id": new_id(), "subjects": (rex.id,)})
    await app.store.put(job_key(job.id), written(job, kind="upscale"))
    assert (await last(app, "dreambooth forget", name="rex")).text.startswith("Forgot rex")
    assert await app.store.names("jobs/") == []
