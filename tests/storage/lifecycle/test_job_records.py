"""Whatever happens in whatever order, the records of jobs agree with a model of them that fits on a page."""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from bot.core.dispatch import Dispatch
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.kinds import KINDS
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.lifecycle.reconcile import put_back
from storage.objects.folder import FolderStore
from storage.queue import broker
from tests.servers.backing import valkey
from tests.support.quick import examples

T = TypeVar("T")
STATES = st.sampled_from(["done", "failed"])


class JobRecords(RuleBasedStateMachine):
    """Bots accept, cancel and delete; workers publish, some of them late; Redis is emptied; the reconciler looks."""

    jobs: Bundle[TrainJob | ImagineJob] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.running, self.loop = ExitStack(), asyncio.new_event_loop()
        url = self.running.enter_context(valkey(config="appendonly no"))
        self.store = FolderStore(Path(self.running.enter_context(tempfile.TemporaryDirectory())))
        self.redis = self.do(broker.connect(url))
        self.dispatch, self.subjects = Dispatch(self.store, self.redis), Subjects(self.store)
        self.known: dict[str, str] = {}  # the model: how each accepted job stands
        self.queued: set[str] = set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """End the servers."""
        self.do(self.redis.aclose())
        self.loop.close()
        self.running.close()

    @rule(target=jobs)
    def accept_a_drawing(self) -> TrainJob | ImagineJob:
        return self._accept(ImagineJob(space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1))

    @rule(target=jobs)
    def accept_a_training(self) -> TrainJob | ImagineJob:
        subject = Subject(space="home", owner="ada", name=new_id(), noun="dog", base_model="toyworld")
        self.do(self.subjects.add(subject))
        return self._accept(TrainJob(space="home", owner="ada", subjects=(subject.id,)))

    def _accept(self, job: TrainJob | ImagineJob) -> TrainJob | ImagineJob:
        self.do(self.dispatch.accept(job))
        self.known[job.id] = "open"
        self.queued.add(job.id)
        return job

    @rule(job=jobs)
    def accept_again(self, job: TrainJob | ImagineJob) -> None:
        """The same event is delivered twice."""
        if self.known.get(job.id) == "open":
            self.do(self.dispatch.accept(job))
            self.queued.add(job.id)

    @rule(job=jobs, state=STATES)
    def publish(self, job: TrainJob | ImagineJob, state: Any) -> None:
        """A worker ends its attempt, perhaps long after another one did."""
        if job.id in self.known:
            outcome = Outcome(job=job.id, state=state, message=state)
            won = self.do(self.store.put_new(outcome_key(job.id), outcome.model_dump_json().encode()))
            assert won == (self.known[job.id] == "open")
            self.known[job.id] = state if won else self.known[job.id]
            self.do(self.redis.zrem(broker.queue_name(job.kind), job.id))
            self.do(self.redis.delete(f"arq:job:{job.id}"))
            self.queued.discard(job.id)

    @rule(job=jobs)
    def cancel(self, job: TrainJob | ImagineJob) -> None:
        was_open = self.known.get(job.id) == "open"
        if job.id in self.known:
            assert self.do(self.dispatch.cancel(job)) == was_open
            if was_open:
                self.known[job.id] = "cancelled"
                self.queued.discard(job.id)

    @rule(job=jobs)
    def delete(self, job: TrainJob | ImagineJob) -> None:
        """Nothing is left of it, except for its place in the queue, from which a worker takes it and finds nothing."""
        self.do(self.store.delete_prefix(f"jobs/{job.id}/"))
        self.known.pop(job.id, None)
        self.queued.discard(job.id)

    @rule()
    def empty_redis(self) -> None:
        self.do(self.redis.flushall())
        self.queued.clear()

    @rule()
    def reconcile(self) -> None:
        is_open = {job for job, state in self.known.items() if state == "open"}
        assert set(self.do(put_back(self.store, self.redis))) == is_open - self.queued
        self.queued |= is_open

    @invariant()
    def records_agree(self) -> None:
        found = {job.id for job in self.do(self.dispatch.jobs("home"))}
        assert found == set(self.known)
        for job, state in self.known.items():
            assert self.do(self.store.exists(job_key(job)))
            outcome = self.do(self.dispatch.outcome(job))
            assert (outcome.state if outcome else "open") == state

    @invariant()
    def the_queue_agrees(self) -> None:
        names = [self.do(self.redis.zrange(name, 0, -1)) for name in map(broker.queue_name, KINDS)]
        queued = {name.decode() for part in names for name in part}
        assert queued >= self.queued
        assert not (queued - self.queued) & set(self.known)  # what else is in it was deleted


TestJobRecords = JobRecords.TestCase
TestJobRecords.settings = settings(max_examples=examples(8), stateful_step_count=25, deadline=None)
