"""The checker of the chaos runs finds what it is there to find."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bot.core.chat_log import ChatMessage
from bot.core.messages import Reply
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.records import parsed_in_part
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, unaccepted_key
from storage.errors import Damaged
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.kinds.stored import read_stored_job
from storage.lifecycle.erasure import erase_subject
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.lifecycle.job_index import JobIndex
from storage.objects.folder import FolderStore
from tests.chaos import noisy_pipe
from tests.chaos.checker import Checker
from tests.chaos.final_messages import Witness, told_twice
from tests.chaos.idle import STILL_S, Movement
from tests.chaos.leftovers import folders_left, logs_tell
from tests.chaos.next_version import next_version
from tests.chaos.store_faults import damaged
from tests.support.photo_files import saved, scene


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def subject_in(store: FolderStore) -> Subject:
    subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="-", state="failed")
    await Subjects(store).add(subject)
    return subject


async def job_in(store: FolderStore, subject: str | None = None) -> str:
    job = ImagineJob(
        space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1, subjects=(subject,) if subject else ()
    )
    await store.put(job_key(job.id), job.model_dump_json().encode())
    await JobIndex(store).add(job, is_open=False)
    return job.id


async def test_an_accepted_job_ends_or_goes_with_its_subject(store: FolderStore, tmp_path: Path) -> None:
    subject = await subject_in(store)
    ended, forgotten, vanished = await job_in(store), await job_in(store, subject.id), new_id()
    outcome = Outcome(job=ended, state="failed", message="No.")
    await store.put(outcome_key(ended), outcome.model_dump_json().encode())
    await erase_subject(store, subject)
    checker = Checker(store, tmp_path)
    await checker.check([ended, forgotten, vanished])
    assert checker.problems == [f"job {vanished} was accepted and is gone without a word"]


async def test_the_sweep_may_be_left_some_kinds_of_things(store: FolderStore, tmp_path: Path) -> None:
    subject, late = await subject_in(store), new_id()
    for name in (f"jobs/{late}/a/1.png", f"subjects/{late}/photos/1.png", unaccepted_key(subject.id)):
        await store.put(name, late.encode())
    checker = Checker(store, tmp_path)
    assert (await checker.left_to_sweep()).total() == 3 and not checker.problems
    await GarbageCollector(store, older_s=-1).sweep()
    await checker.check([])
    assert not checker.problems
    left = f"subjects/{(await subject_in(store)).id}/weights/{late}/old"
    await store.put(left, b"-")
    assert not await checker.left_to_sweep()
    assert checker.problems == [f"{left} belongs to nothing"]


async def test_pictures_that_a_newer_version_made_belong_to_its_job(store: FolderStore, tmp_path: Path) -> None:
    newer: dict[str, Any] = {"schema_version": 3, "written_by": "the next version"}
    job = ImagineJob(space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1, **newer)
    keys = [f"jobs/{job.id}/a/{name}.png" for name in ("1", "grid")]
    for key in keys:
        await store.put(key, saved(scene()))
    picture, grid = (Picture(key=key, width_px=64, height_px=64) for key in keys)
    outcome = ImagineOutcome(job=job.id, state="done", message="", pictures=(picture,), grid=grid, **newer)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    await store.put(outcome_key(job.id), outcome.model_dump_json().encode())
    checker = Checker(store, tmp_path)
    assert not await checker.left_to_sweep()
    assert await GarbageCollector(store, older_s=-1).sweep() == []
    await checker.check([job.id])
    assert not checker.problems


def test_a_last_word_is_heard_once() -> None:
    job = new_id()
    picture = Picture(key=f"jobs/{job}/a/1.png", width_px=64, height_px=64)
    done = Reply(text="a dog", job=job, pictures=(picture,))
    witnesses = [Witness(), Witness()]

    def tell(reply: Reply, by: Witness = witnesses[0]) -> None:
        by.tell(job, ChatMessage(id=job, said="/imagine a dog", reply=reply))

    tell(Reply(text="Drawing.", state="working", job=job))
    tell(done)
    tell(done.model_copy(update={"pictures": ()}))  # deleted since
    tell(done, witnesses[1])  # which the first could not keep
    assert not told_twice(witnesses)
    tell(done)
    assert told_twice(witnesses) == [f"job {job} is told twice"]
    tell(Reply(text="No.", state="failed", job=job), witnesses[1])
    assert f"job {job} is told as done and failed" in told_twice(witnesses)


def test_what_an_engine_says_through_a_noisy_pipe_is_whole_until_there_is_noise(tmp_path: Path) -> None:
    noise, says = tmp_path / "noise", '{"say":"alive","job":"one"}'
    command = [sys.executable, "-S", noisy_pipe.__file__, sys.executable, "-c", f"print({says!r}, end='\\n' * 50)"]
    how = {"env": {**os.environ, noisy_pipe.NOISE: str(noise)}, "capture_output": True}
    assert subprocess.run(command, **how).stdout == f"{says}{50 * chr(10)}".encode()
    noise.touch()
    assert len(subprocess.run(command, **how).stdout.splitlines()) > 60


def test_an_engine_behind_a_pipe_ends_as_it_would_without(tmp_path: Path) -> None:
    environment = {**os.environ, noisy_pipe.NOISE: str(tmp_path / "noise")}
    for last, code in (("os._exit(3)", 3), ("os.kill(os.getpid(), 9)", -9)):
        command = [sys.executable, "-S", noisy_pipe.__file__, sys.executable, "-c", f"import os; {last}"]
        assert subprocess.run(command, env=environment).returncode == code


def test_records_of_the_next_version_carry_its_schema_and_a_field_more(tmp_path: Path) -> None:
    ask = "from storage.contract.subjects import Subject as S; print(S(**dict.fromkeys(%r, 'x')).model_dump_json())"
    fields = ("space", "owner", "name", "noun", "base_model")
    command = [sys.executable, "-c", ask % (fields,)]
    written = subprocess.run(command, cwd=next_version(tmp_path / "next"), capture_output=True, check=True).stdout
    record = parsed_in_part(Subject, written, "-")
    assert record.is_newer and record.model_extra == {"written_by": "the next version"}


def test_a_job_that_begins_again_and_again_is_lost_in_the_end() -> None:
    times_s = [0.0]
    movement = Movement(clock=lambda: times_s[-1])
    for each in (0.0, STILL_S / 2, STILL_S + 1):
        times_s.append(each)
        movement.saw("again", "learning", 1)
    assert movement.is_still("again")
    movement.saw("again", "learning", 2)
    assert not movement.is_still("again") and not movement.is_still("waits behind it")


def test_logs_and_folders_are_looked_at(tmp_path: Path) -> None:
    log, home = tmp_path / "log", tmp_path / "home"
    work = home / "work" / "of a killed one" / "attempt-1"
    work.mkdir(parents=True)
    (home / "cache").mkdir()
    part = home / "cache" / ".part-1"
    part.touch()
    trace = 'Traceback (most recent call last):\n  File "a", line 1, in b\n    c()\n'
    full = "OSError: [Errno 28] No space left on device"
    log.write_text(f"fine\n{trace}ValueError: no\n{trace}{full}\nthe key is hunter2\n")
    told = ["log tells a secret", "1 traceback(s) in log: ValueError: no"]
    assert logs_tell([log, tmp_path / "none"], ["hunter2"]) == told
    assert folders_left([home]) == [f"{part} is left"]


async def test_damage_can_be_told_from_what_a_record_may_say(store: FolderStore) -> None:
    key = job_key(await job_in(store))
    for seed in range(20):
        with pytest.raises(Damaged):
            read_stored_job(damaged((await store.get(key)).data, Random(seed)))
