"""People and spaces take turns, whatever happens in whatever order; and only so many of their jobs are taken on."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.core.queue_view import QueueView, QueueViews
from storage.contract.jobs import job_key
from storage.contract.progress import Progress
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.reconcile import put_back
from storage.objects.folder import FolderStore
from storage.queue import broker
from storage.queue.job_progress import write_progress
from storage.queue.job_queue import RESERVED_S, JobQueue
from storage.queue.worker_registry import register_worker
from tests.servers.backing import valkey
from tests.support.quick import examples
from trainer.worker.lease import Leases

T = TypeVar("T")
PEOPLE = st.tuples(st.sampled_from(["here", "there"]), st.sampled_from(["ada", "bob", "eve"]))


def job(space: str = "here", owner: str = "ada") -> ImagineJob:
    return ImagineJob(space=space, owner=owner, prompt="a dog", model_prompt="a dog", seed=1)


class Turns(RuleBasedStateMachine):
    """People ask, workers take what is next, finish it or die, Redis is emptied; nobody is passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.running, self.loop = ExitStack(), asyncio.new_event_loop()
        self.redis = self.do(broker.connect(self.running.enter_context(valkey(config="appendonly no"))))
        self.store = FolderStore(Path(self.running.enter_context(tempfile.TemporaryDirectory())))
        self.line = JobQueue(self.redis, "imagine")
        self.fresh: dict[str, ImagineJob] = {}  # jobs that wait for their turn, oldest first
        self.begun: dict[str, bool] = {}  # jobs that had it: whether they run, or wait to go on
        self.open: dict[str, ImagineJob] = {}
        self.since: dict[tuple[str, ...], int] = {}  # when each person and space began to wait, or had a turn
        self.clock = count()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """End the servers."""
        self.do(self.redis.aclose())
        self.loop.close()
        self.running.close()

    def names(self, asked: ImagineJob) -> tuple[tuple[str, ...], ...]:
        """The space and the person that take turns."""
        return (asked.space,), (asked.space, asked.owner)

    @rule(who=PEOPLE, times=st.integers(1, 4))
    def ask(self, who: tuple[str, str], times: int) -> None:
        for _ in range(times):
            asked = job(*who)
            self.do(self.store.put(job_key(asked.id), asked.model_dump_json().encode()))
            self.do(self.line.enqueue(asked))
            self.fresh[asked.id] = self.open[asked.id] = asked
            for name in self.names(asked):
                self.since.setdefault(name, next(self.clock))

    @precondition(lambda self: self.fresh or not all(self.begun.values()))
    @rule()
    def take(self) -> None:
        """A worker takes what is next."""
        _, (taken, *_) = self.do(self.line.order())
        assert self.do(Leases(self.redis, self.line, 60).of(taken).claim())
        again = [id_ for id_, runs in self.begun.items() if not runs]
        assert taken in (again or self.fresh)  # what had its turn goes on first
        self.begun[taken] = True
        if served := self.fresh.get(taken):
            assert next(o.id for o in self.fresh.values() if self.names(o) == self.names(served)) == taken
            del self.fresh[taken]
            for name in self.names(served):
                self._served(name)

    def _served(self, name: tuple[str, ...]) -> None:
        """Somebody had a turn: nobody beside them may have waited for longer, and so for two turns of theirs."""
        beside = [other for other in self.since if len(other) == len(name) and other[:-1] == name[:-1]]
        assert min(beside, key=self.since.__getitem__) == name
        del self.since[name]
        if any(name in self.names(waiting) for waiting in self.fresh.values()):
            self.since[name] = next(self.clock)

    @precondition(lambda self: any(self.begun.values()))
    @rule(data=st.data(), dies=st.booleans())
    def stop(self, data: st.DataObject, dies: bool) -> None:
        """A job ends, or its worker dies."""
        stopped = data.draw(st.sampled_from([id_ for id_, runs in self.begun.items() if runs]))
        self.do(self.redis.delete(in_progress_key_prefix + stopped))
        self.begun[stopped] = False
        if not dies:
            del self.begun[stopped], self.open[stopped]
            self.do(self.store.delete(job_key(stopped)))
            self.do(self.redis.zrem(self.line.queue, stopped))

    @rule()
    def empty_redis(self) -> None:
        """The line is made anew from the store, in the order in which jobs were accepted; of turns nothing is known."""
        self.do(self.redis.flushall())
        self.do(put_back(self.store, self.redis))
        self.fresh, self.begun = {id_: self.open[id_] for id_ in sorted(self.open)}, {}
        self.since = {}
        for asked in self.fresh.values():
            for name in self.names(asked):
                self.since.setdefault(name, next(self.clock))

    @invariant()
    def all_that_wait_are_in_the_line_once(self) -> None:
        running, waiting = self.do(self.line.order())
        assert sorted(running) == sorted(id_ for id_, runs in self.begun.items() if runs)
        assert sorted(waiting) == sorted([*self.fresh, *(id_ for id_, runs in self.begun.items() if not runs)])


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=examples(10), stateful_step_count=30, deadline=None)


async def test_an_emptied_redis_comes_back_with_the_same_order(redis: ArqRedis, tmp_path: Path) -> None:
    store, line = FolderStore(tmp_path), JobQueue(redis, "imagine")
    asked = [job("here", "ada") for _ in range(3)] + [job("here", "bob"), job("there", "eve"), job("here", "bob")]
    asked.sort(key=lambda one: one.id)
    for one in asked:
        await store.put(job_key(one.id), one.model_dump_json().encode())
        await line.enqueue(one)
    _, before = await line.order()
    await redis.flushall()
    await put_back(store, redis)
    assert (await line.order())[1] == before


async def test_so_many_are_taken_on_and_no_more_however_many_ask_at_once(redis: ArqRedis) -> None:
    with_others = await broker.connect(f"unix://{redis.connection_pool.connection_kwargs['path']}")
    lines = JobQueue(redis, "imagine"), JobQueue(with_others, "imagine")
    asked = [job("here", owner) for owner in ("ada", "bob", "eve") for _ in range(10)]
    refused = await asyncio.gather(*(lines[k % 2].admit(one, 4, 10) for k, one in enumerate(asked)))
    taken = Counter(one.owner for one, counts in zip(asked, refused, strict=True) if not counts)
    assert taken.total() == 10 and max(taken.values()) == 4
    assert await lines[0].admit(job("there"), 4, 10) is None  # another space
    known = next(one for one, counts in zip(asked, refused, strict=True) if not counts)
    assert await lines[0].admit(known, 4, 10) is None  # the same event, delivered again
    await with_others.aclose()


async def test_what_ended_without_a_word_does_not_count_for_ever(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = JobQueue(redis, "imagine")
    lost, queued = job(), job()
    assert await line.admit(lost, 2, 2) is None  # whoever was about to write it down died
    await line.enqueue(queued)
    assert await line.admit(job(), 2, 2) == (2, 2)
    monkeypatch.setattr("storage.queue.job_queue.RESERVED_S", -RESERVED_S)
    assert await line.admit(job(), 2, 2) is None  # its place has lapsed
    assert await line.admit(queued, 2, 2) is None


def test_the_time_left_is_that_of_workers_who_take_the_next_whenever_they_are_done() -> None:
    view = QueueView(running=("a", "b"), waiting=("c", "d", "e"), left_s=(10.0, 50.0), usual_s=60.0, workers=("", ""))
    assert [view.ahead(one) for one in "cde"] == [2, 3, 4]
    assert [view.done_in_s(one) for one in "cde"] == [70, 110, 130]
    assert view.done_in_s("a") is None
    unable = QueueView(waiting=("c",), usual_s=60.0, workers=("disk space",))
    assert unable.done_in_s("c") is None and unable.obstacle == "the workers have too little disk space"


async def test_one_look_serves_all_who_wait(redis: ArqRedis) -> None:
    first, second = job(), job(owner="bob")
    line, looks = JobQueue(redis, "imagine"), QueueViews(redis)
    for one in (first, second):
        await line.enqueue(one)
    await line.measured(30)
    await register_worker(redis, "one", ["imagine"], "")
    await redis.set(in_progress_key_prefix + first.id, b"1")
    await write_progress(redis, Progress(job=first.id, phase="drawing", left_s=12))
    await redis.config_resetstat()  # tests share a server
    views = await asyncio.gather(*(looks.view("imagine") for _ in range(50)))
    assert {view.ahead(second.id) for view in views} == {first.count}  # its pictures
    assert {view.done_in_s(second.id) for view in views} == {40}
    assert (await redis.info("commandstats"))["cmdstat_zrange"]["calls"] < 10  # one, if looking is quick


@pytest.mark.parametrize("junk", [b"junk", b"", b"7", b"[1]", b'{"a": 1}', b'["x", "here", "ada"]', b"\xff\xfe"])
async def test_an_entry_that_cannot_be_read_holds_up_nobody(redis: ArqRedis, junk: bytes) -> None:
    line, damaged, other = JobQueue(redis, "imagine"), job(), job(owner="bob")
    for one in (damaged, other):
        await line.enqueue(one)
    await redis.hset("darkroom:open:imagine", damaged.id, junk)
    await redis.lpush("darkroom:took:imagine", junk)
    assert await line.usual_s() in (None, 7.0)
    assert await line.admit(job(owner="eve"), 2, 9) is None
    assert sorted((await line.order())[1]) == sorted([damaged.id, other.id])
    for one in (damaged, other):
        assert await Leases(redis, line, 10.0).of(one.id).claim()
