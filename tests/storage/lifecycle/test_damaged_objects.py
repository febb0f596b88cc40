"""One object of each kind is damaged: it touches only itself, ends in words, can be forgotten; `darkroom repair`."""

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from PIL import Image

from bot.app import Darkroom
from bot.cli.repair import ALL_CHECKS
from bot.connectors.web.gallery import Gallery
from bot.core.chat_log import ChatLog, ChatMessage
from bot.core.messages import Reply, Request
from bot.delivery.post_store import PostStore
from bot.delivery.posts import Post
from storage.ask.documents import Documents, document_folder
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.records import owner_of
from storage.contract.subjects import Photo, Subject, name_key, subject_key
from storage.ids import new_id
from storage.kinds.imagine import IMAGINE, ImagineJob, ImagineOutcome
from storage.kinds.stored import read_ending
from storage.kinds.train import TrainJob
from storage.lifecycle.damaged_jobs import JOB_DAMAGED, OUTCOME_DAMAGED
from storage.lifecycle.erasure import UNDER_WAY, Erasure, finish_all, receipt_key
from storage.lifecycle.index_backfill import build_indexes
from storage.lifecycle.reconcile import put_back
from storage.lifecycle.repair import RepairFinding
from storage.objects.store import Store
from storage.settings.bot import BotSettings
from tests.support.quick import slow_but

DAMAGE = {
    "flipped": lambda b: bytes([b[0] ^ 0x80]) + b[1:],
    "truncated": lambda b: b[: len(b) // 2],
    "empty": lambda b: b"",
}


@pytest.fixture
async def app(tmp_path: Path, redis: ArqRedis, store: Store) -> AsyncIterator[Darkroom]:
    darkroom = Darkroom(BotSettings(DARKROOM_HOME=tmp_path), store, redis)
    for task in darkroom._upkeep:
        task.cancel()
    yield darkroom
    await asyncio.gather(*darkroom._upkeep, return_exceptions=True)


@pytest.fixture(params=slow_but(DAMAGE, "truncated"))
def damaged(request: pytest.FixtureRequest, store: Store) -> Any:
    """Damages an object in one of the ways."""

    async def damage(key: str) -> None:
        await store.put(key, DAMAGE[request.param]((await store.get(key)).data))

    return damage


async def said(app: Darkroom, command: str, user: str = "you", **arguments: str) -> Reply:
    request = Request(space="local", user=user, command=command, arguments=arguments, confirmed=True)
    return [reply async for reply in app.answer(request)][-1]


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24, 16), (seed, 0, 0)).save(file, "PNG")
    return file.getvalue()


async def drawn(app: Darkroom, subject: str | None = None) -> ImagineJob:
    """A job that has drawn two pictures."""
    job = ImagineJob(
        space="local", owner="you", said="/imagine a dog", prompt="a dog", model_prompt="a dog", seed=7, count=2,
        subjects=(subject,) if subject else (),
    )  # fmt: skip
    await app.dispatch.accept(job)
    names = [f"jobs/{job.id}/attempt-1/{name}.png" for name in (7, 8, "grid")]
    for number, name in enumerate(names):
        await app.store.put(name, png(number))
    *pictures, grid = (Picture(key=name, width_px=24, height_px=16) for name in names)
    outcome = ImagineOutcome(job=job.id, state="done", message="a dog", pictures=tuple(pictures), grid=grid)
    await app.store.put(outcome_key(job.id), outcome.model_dump_json().encode())
    return job


async def trained(app: Darkroom, name: str) -> Subject:
    """A subject that is ready, with a photo and weights."""
    id, files = new_id(), {"photos/1.png": png(1), "weights/imported/w.safetensors": b"weights"}
    for file, data in files.items():
        await app.store.put(f"subjects/{id}/{file}", data)
    photo, weights = (hashlib.sha256(data).hexdigest() for data in files.values())
    subject = Subject(
        id=id, space="local", owner="you", name=name, noun="dog", base_model="m", state="ready",
        photos=(Photo(key=f"subjects/{id}/photos/1.png", sha256=photo, name="1.png", side_px=16),),
        weights_key=f"subjects/{id}/weights/imported/w.safetensors", weights_sha256=weights,
    )  # fmt: skip
    await app.subjects.add(subject)
    return subject


async def repaired(app: Darkroom, dry_run: bool = False) -> list[RepairFinding]:
    return [finding for check in ALL_CHECKS for finding in [f async for f in check(app.store, dry_run)]]


async def everything(store: Store) -> dict[str, bytes]:
    return {name: (await store.get(name)).data for name in await store.names("")}


async def test_an_open_job_ends_in_words(app: Darkroom, damaged: Any) -> None:
    subject = Subject(space="local", owner="you", name="rex", noun="dog", base_model="m")
    job = TrainJob(space="local", owner="you", subjects=(subject.id,))
    subject = subject.model_copy(update={"job": job.id})
    await app.subjects.add(subject)
    other = await drawn(app)
    await app.dispatch.accept(job)
    await damaged(job_key(job.id))
    await app.redis.flushall()
    assert await put_back(app.store, app.redis) == []
    outcome = await read_ending(app.store, job.id)
    assert outcome and (outcome.state, outcome.message) == ("failed", JOB_DAMAGED)
    assert [(r.state, r.text) async for r in app.watch(job.id)] == [("failed", JOB_DAMAGED)]
    assert (await said(app, "dreambooth cancel", job=job.id)).text == JOB_DAMAGED
    assert list((await said(app, "jobs")).facts) == [other.id]
    assert [made.job for made in await Gallery(app).pictures("", 9)] == [other.id]
    assert await app.store.names("open/") == await app.store.names(f"open/x{other.id}")


async def test_whoever_follows_a_job_ends_it_if_it_is_damaged(app: Darkroom, damaged: Any) -> None:
    job = ImagineJob(space="local", owner="you", prompt="a dog", model_prompt="a dog", seed=7)
    await app.dispatch.accept(job)
    await damaged(job_key(job.id))
    assert [(r.state, r.text) async for r in app.watch(job.id)] == [("failed", JOB_DAMAGED)]
    assert await app.store.exists(outcome_key(job.id))


async def test_how_a_damaged_job_ended_is_told_to_its_owner_alone(app: Darkroom) -> None:
    job = ImagineJob(space="local", owner="you", prompt="a dog", model_prompt="a dog", seed=7)
    await app.store.put(job_key(job.id), job.model_dump_json().encode().replace(b'"count":4', b'"count":[4'))
    outcome = Outcome(job=job.id, state="done", message="a secret prompt")
    await app.store.put(outcome_key(job.id), outcome.model_dump_json().encode())
    for space, user, told in (("local", "you", True), ("local", "bob", False), ("discord:7", "you", False)):
        request = Request(space=space, user=user, command="details", arguments={"job": job.id})
        text = [reply async for reply in app.answer(request)][-1].text
        assert ("secret" in text) is told


async def test_a_damaged_outcome_hides_no_other_job_and_is_mended(app: Darkroom, damaged: Any) -> None:
    job, other = await drawn(app), await drawn(app)
    await damaged(outcome_key(job.id))
    facts = (await said(app, "jobs")).facts
    assert "damaged" in facts[job.id] and "done" in facts[other.id]
    assert [made.job for made in await Gallery(app).pictures("", 9)] == [other.id]
    assert [(r.state, r.text) async for r in app.watch(job.id)] == [("failed", OUTCOME_DAMAGED)]
    (found,) = await repaired(app)
    assert (found.key, found.mend) == (outcome_key(job.id), "written anew: done")
    outcome = await IMAGINE.read_outcome(app.store, job.id)
    assert outcome and [(p.seed, p.width_px, p.height_px) for p in outcome.pictures] == [(7, 24, 16), (8, 24, 16)]
    assert await repaired(app) == []


async def test_what_has_a_damaged_outcome_can_be_deleted(app: Darkroom, damaged: Any) -> None:
    job = await drawn(app)
    await damaged(outcome_key(job.id))
    assert (await said(app, "delete", job=job.id)).state == "done"
    assert await app.store.names("jobs/") == []


async def test_a_damaged_subject_is_forgotten_by_its_name(app: Darkroom, damaged: Any) -> None:
    rex, mia = await trained(app, "rex"), await trained(app, "mia")
    job = await drawn(app, rex.id)
    await damaged(subject_key(rex.id))
    assert list((await said(app, "dreambooth list")).facts) == ["mia"]
    assert "Only the person" in (await said(app, "dreambooth forget", "eve", name="rex")).text
    assert (await said(app, "dreambooth forget", name="rex")).text.startswith("Forgot rex")
    assert await app.store.names(f"subjects/{rex.id}") == await app.store.names(f"jobs/{job.id}") == []
    await app.subjects.add(rex.model_copy(update={"id": new_id()}))
    assert await app.subjects.get(mia.id) == mia


@pytest.mark.parametrize("space", ["discord:7", "slack:T1", "slack:T1:G2"])
async def test_where_nobody_can_tell_who_made_a_subject_it_takes_a_moderator(app: Darkroom, space: str) -> None:
    rex = (await trained(app, "rex")).model_copy(update={"id": new_id(), "space": space})
    await app.subjects.add(rex)
    await app.store.put(subject_key(rex.id), b"")
    asked = Request(space=space, user="you", command="dreambooth forget", arguments={"name": "rex"}, confirmed=True)
    for moderates in ("", "channel"):
        of_anybody = asked.model_copy(update={"id": new_id(), "moderates": moderates})
        assert "Only the person" in [reply async for reply in app.answer(of_anybody)][-1].text
    of_moderator = asked.model_copy(update={"id": new_id(), "moderates": "space"})
    assert [reply async for reply in app.answer(of_moderator)][-1].text.startswith("Forgot rex")


async def test_a_damaged_name_leads_to_its_subject_again(app: Darkroom, store: Store) -> None:
    rex = await trained(app, "rex")
    for content in (b"\xff", b"0123", f"{new_id()[:-1]}X".encode()):
        await store.put(name_key("local", "rex"), content)
        assert await app.subjects.find("local", "rex") == rex
    await store.put(name_key("local", "rex"), b"\xff")
    (found,) = await repaired(app)
    assert found.mend and await app.subjects.find("local", "rex") == rex
    await store.put(name_key("local", "gone"), b"\xff")
    await app.subjects.add(rex.model_copy(update={"id": new_id(), "name": "gone"}))


async def test_what_was_said_in_chats_touches_only_itself(app: Darkroom, damaged: Any) -> None:
    log, posts = ChatLog(app.store, "local"), PostStore(app.store, "discord", app.redis, 60.0)
    one, two = (ChatMessage(id=new_id(), said="hi", reply=Reply(text="Hello.")) for _ in range(2))
    three, four = (Post(platform="discord", job=new_id(), space="s", channel="c", user="u") for _ in range(2))
    for message, post in ((one, three), (two, four)):
        await log.write(message)
        await posts.write(post)
    await damaged(f"chats/local/{one.id}.json")
    await damaged(f"posts/discord/{three.job}.json")
    assert await log.read() == [two] and await posts.open() == [four]
    assert sorted(f.key for f in await repaired(app)) == [
        f"chats/local/{one.id}.json",
        f"posts/discord/{three.job}.json",
    ]
    assert await repaired(app) == []


async def test_a_damaged_forgetting_is_finished_by_its_name(app: Darkroom, damaged: Any) -> None:
    rex = await trained(app, "rex")
    job = await drawn(app, rex.id)
    note = f"{UNDER_WAY}{rex.id}.json"
    await app.store.put(note, Erasure(subject=rex, jobs=(), names=()).model_dump_json().encode())
    await damaged(note)
    await finish_all(app.store)
    assert await app.store.exists(receipt_key(rex.id)) and not await app.store.exists(note)
    assert await app.store.names(f"subjects/{rex.id}") == await app.store.names(f"jobs/{job.id}") == []
    await damaged(receipt_key(rex.id))
    await finish_all(app.store)
    assert [f.key for f in await repaired(app)] in ([receipt_key(rex.id)], [])


async def test_files_are_compared_with_their_hashes(app: Darkroom, damaged: Any) -> None:
    rex = await trained(app, "rex")
    assert await repaired(app) == []
    await damaged(str(rex.weights_key))
    await app.store.put(rex.photos[0].key, b"other")
    found = await repaired(app)
    assert {f.key for f in found} == {rex.weights_key, rex.photos[0].key}
    assert not any(f.mend for f in found) and all(f.advice for f in found)


async def test_a_dry_run_changes_nothing(app: Darkroom, damaged: Any) -> None:
    rex, job, other = await trained(app, "rex"), await drawn(app), await drawn(app)
    for key in (job_key(job.id), outcome_key(other.id), name_key("local", rex.name)):
        await damaged(key)
    before = await everything(app.store)
    found = await repaired(app, dry_run=True)
    assert len(found) >= 3 and await everything(app.store) == before
    await repaired(app)
    assert await repaired(app) == [] and json.loads((await app.store.get(subject_key(rex.id))).data)


async def test_jobs_are_indexed_again(app: Darkroom) -> None:
    rex = await trained(app, "rex")
    job = await drawn(app, rex.id)
    while not await app.dispatch.index.complete():
        await build_indexes(app.store, 10)
    for prefix in ("jobs-of/", "jobs-about/"):
        await app.store.delete_prefix(prefix)
    assert {f.mend for f in await repaired(app)} == {"indexed again"}
    assert await app.dispatch.index.about(rex.id) == [job.id]
    assert [j.id for j in await app.dispatch.jobs("local")] == [job.id] and await repaired(app) == []


async def test_a_subject_does_not_wait_for_a_training_that_is_gone(app: Darkroom) -> None:
    rex = Subject(space="local", owner="you", name="rex", noun="dog", base_model="m", job=new_id(), created_s=1)
    await app.subjects.add(rex)
    (found,) = await repaired(app)
    assert found.mend.startswith("failed") and (await app.subjects.get(rex.id)).state == "failed"


@pytest.mark.parametrize("by", ["its name", "everything of the person", "repair"])
async def test_a_damaged_document_hides_no_other_and_can_be_deleted(app: Darkroom, damaged: Any, by: str) -> None:
    documents = Documents(app.store)
    for name in ("one.txt", "two.txt"):
        await documents.save("local", "you", name, b"Rex likes tea.")
    folder = document_folder("local", "one.txt")
    await damaged(f"{folder}record.json")
    assert list((await said(app, "documents list")).facts) == ["two.txt"]
    if owner_of((await app.store.get(f"{folder}record.json")).data):
        assert "no document called" in (await said(app, "documents remove", user="other", name="one.txt")).text
    if by == "its name":
        assert (
            await said(app, "documents remove", name="one.txt")
        ).text == "Removed one.txt, whose record was damaged."
    elif by == "repair":
        assert [(finding.key, finding.mend) for finding in await repaired(app)] == [(f"{folder}record.json", "deleted")]
    else:
        text = (await said(app, "forget-me")).text
        assert not await app.store.names(folder) or "Not deleted: 1 record" in text
        return
    assert await app.store.names(folder) == []
    assert [document.name for document in await documents.in_space("local")] == ["two.txt"]
