"""The clock goes a day back: what is newer stays newer, in the chat, in lists and among trainings."""

import time
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from hypothesis import given
from hypothesis import strategies as st

from bot.app import Darkroom
from bot.connectors.web.chat import Chat
from bot.core.chat_log import ChatLog, ChatMessage
from bot.core.dispatch import Dispatch
from bot.core.messages import Reply
from storage import ids
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, weights_prefix
from storage.ids import CLOCK, IdClock, id_at, made_s, new_id
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import stored_job
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.lifecycle import departures
from storage.lifecycle.departures import Departure
from storage.lifecycle.finalize import finalize_job, publish_outcome
from storage.lifecycle.garbage_collection import STATE, GarbageCollector, SweepState
from storage.objects.folder import FolderStore
from storage.queue import newest_id
from storage.settings.bot import BotSettings

DAY_S = 24 * 3600
HASH = "ab" * 32


@pytest.fixture(autouse=True)
def _own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ids that were seen here leave those of other tests alone."""
    monkeypatch.setattr(CLOCK, "_newest_ms", CLOCK._newest_ms)


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


# Fifty steps back stay within the seven days after which a clock is no longer followed.
@given(st.lists(st.sampled_from([-DAY_S / 8, -1.0, 0.0, 0.0004, 1.0, DAY_S]), max_size=50))
def test_ids_sort_as_they_were_made_whatever_the_clock_does(steps: list[float]) -> None:
    clock, made = Clock(), []
    id_clock = IdClock(clock)
    for step_s in steps:
        clock.now_s += step_s
        made.append(id_clock.new_id())
    assert made == sorted(made) and len({id_[:12] for id_ in made}) == len(made)


def test_ids_go_on_from_those_of_another_process_but_not_from_a_clock_that_was_wrong() -> None:
    clock = Clock()
    before = IdClock(clock).new_id()
    clock.now_s -= DAY_S
    after = IdClock(clock)
    after.see(before)
    assert after.new_id() > before
    after.see(id_at(clock.now_s + 365 * DAY_S))
    assert made_s(after.new_id()) < clock.now_s + 2 * DAY_S


def test_a_clock_that_was_a_year_ahead_is_not_followed_once_it_is_right() -> None:
    clock = Clock()
    id_clock = IdClock(clock)
    clock.now_s += 365 * DAY_S
    id_clock.new_id()
    clock.now_s -= 365 * DAY_S
    made = [id_clock.new_id() for _ in range(3)]
    assert made == sorted(made) and made_s(made[-1]) < clock.now_s + 1


async def test_a_process_that_starts_after_the_jump_goes_on_from_the_newest_id(redis: ArqRedis) -> None:
    ahead = id_at(made_s(new_id()) + DAY_S)
    await redis.set(newest_id.KEY, ahead)
    await newest_id.load_newest_id(redis)
    assert new_id() > ahead
    await redis.set(newest_id.KEY, b"\xff junk")
    await newest_id.load_newest_id(redis)


async def test_new_messages_stand_below_old_ones(tmp_path: Path, redis: ArqRedis) -> None:
    app = Darkroom(BotSettings(DARKROOM_HOME=tmp_path), FolderStore(tmp_path / "store"), redis)
    tomorrow = id_at(made_s(new_id()) + DAY_S)  # said before the clock went back
    old = ChatMessage(id=tomorrow, said="hi", reply=Reply(text="Hello."))
    await ChatLog(app.store, "local").write(old)
    chat = Chat(app)
    await chat.open()
    new = await chat.refuse("what", "No.", ())
    assert sorted(chat.messages) == [old.id, new.id] == list(chat.messages)
    assert [m.id for m in await ChatLog(app.store, "local").read()] == [old.id, new.id]
    await chat.close()
    for task in app._upkeep:
        task.cancel()


async def test_the_newest_job_comes_first_after_the_clock_went_back(tmp_path: Path, redis: ArqRedis) -> None:
    dispatch = Dispatch(FolderStore(tmp_path), redis)
    ahead = id_at(made_s(new_id()) + DAY_S)
    old = ImagineJob(id=ahead, space="s", owner="o", prompt="a", model_prompt="a", seed=1)
    await dispatch.accept(old)
    CLOCK.see(old.id)
    new = ImagineJob(space="s", owner="o", prompt="a", model_prompt="a", seed=1)
    await dispatch.accept(new)
    assert [job.id for job in await dispatch.jobs("s")] == [new.id, old.id]


@pytest.mark.parametrize("first_ends_first", [True, False])
async def test_a_retrain_counts_that_was_accepted_after_the_clock_went_back(
    tmp_path: Path, redis: ArqRedis, first_ends_first: bool
) -> None:
    store = FolderStore(tmp_path)
    subjects, dispatch = Subjects(store), Dispatch(store, redis)
    rex = Subject(space="s", owner="o", name="rex", noun="dog", base_model="m")
    await subjects.add(rex)
    now_s = ids.ordered_s()
    jobs = [
        TrainJob(space="s", owner="o", subjects=(rex.id,), accepted_s=accepted_s)
        for accepted_s in (now_s, now_s - DAY_S)
    ]
    for job in jobs:
        await dispatch.accept(job)
    for job in jobs if first_ends_first else reversed(jobs):
        await ended(store, job)
    found = await subjects.get(rex.id)
    assert (found.job, found.weights_key) == (jobs[1].id, key(jobs[1]))
    assert await store.names(weights_prefix(rex.id)) == [key(jobs[1])]


async def test_a_retrain_after_one_that_was_learned_in_the_future_counts(tmp_path: Path, redis: ArqRedis) -> None:
    store = FolderStore(tmp_path)
    subjects = Subjects(store)
    ahead_s = ids.ordered_s() + DAY_S  # as older versions noted it, without `asked_s`
    rex = Subject(space="s", owner="o", name="rex", noun="dog", base_model="m", state="ready", learned_s=ahead_s)
    await subjects.add(rex)
    job = TrainJob(space="s", owner="o", subjects=(rex.id,))
    await Dispatch(store, redis).accept(job)
    await ended(store, job)
    assert (await subjects.get(rex.id)).job == job.id


def key(job: TrainJob) -> str:
    return f"{weights_prefix(job.subjects[0])}{job.id}/attempt-1/{HASH}.safetensors"


async def ended(store: FolderStore, job: TrainJob) -> None:
    """A worker publishes the training, from the record that it reads."""
    await store.put(key(job), b"weights")
    learned = TrainedSubject(weights_key=key(job), weights_sha256=HASH, identifier="x", recipe={})
    await publish_outcome(store, job, TrainOutcome(job=job.id, state="done", message="", subjects=(learned,)))
    await finalize_job(store, await stored_job(store, job.id))


async def test_a_sweep_that_ended_in_the_future_is_made_anew(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put(STATE, SweepState(ended_s=time.time() + 365 * DAY_S).model_dump_json().encode())
    assert await GarbageCollector(store).sweep_some(60.0)
    ended_s = SweepState.model_validate_json((await store.get(STATE)).data).ended_s
    assert 0 < ended_s <= time.time()


async def test_who_left_in_the_future_has_left_now(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await departures.note(store, "slack:T1", "ada")
    (key,) = await store.names("departures/")
    ahead = Departure(space="slack:T1", person="ada", since_s=time.time() + 365 * DAY_S)
    await store.put(key, ahead.model_dump_json().encode())
    since_s = await departures.since(store, "slack:T1", "ada")
    assert since_s and since_s <= time.time()
    assert [each.since_s for each in await departures.every(store)] == [since_s]
