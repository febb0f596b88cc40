"""Subjects over both stores: names are unique whoever races, changes are not lost, forgetting leaves nothing."""

import asyncio

import pytest

from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, name_key, name_prefix, subject_key
from storage.errors import Damaged, Missing, UserError
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.objects.store import Store
from tests.servers.proxy import Hold

pytest_plugins = ["tests.support.stores"]


@pytest.fixture
def subjects(store: Store) -> Subjects:
    return Subjects(store)


def a_subject(name: str = "rex", space: str = "home", **more: object) -> Subject:
    return Subject(space=space, owner="ann", name=name, noun="dog", base_model="toyworld", **more)


async def test_what_is_added_is_found_by_id_and_by_name(subjects: Subjects) -> None:
    rex = a_subject("Rex")
    await subjects.add(rex)
    assert await subjects.get(rex.id) == rex
    assert await subjects.find("home", "Rex") == await subjects.find("home", "REX") == rex
    assert await subjects.find("home", "rexx") is None
    assert await subjects.find("elsewhere", "Rex") is None


async def test_of_twenty_who_want_a_name_one_gets_it(subjects: Subjects) -> None:
    wanted = [a_subject(name) for name in ("rex", "Rex", "REX", "rEx") * 5]
    answers = await asyncio.gather(*(subjects.add(subject) for subject in wanted), return_exceptions=True)
    winners = [subject for subject, answer in zip(wanted, answers, strict=True) if answer is None]
    refusals = [answer for answer in answers if answer is not None]
    assert len(winners) == 1
    assert all(isinstance(answer, UserError) for answer in refusals)
    assert "already a subject called" in str(refusals[0])
    assert await subjects.in_space("home") == winners
    assert await subjects.store.names("subjects/") == [subject_key(winners[0].id)], "the others left nothing behind"


async def test_a_name_is_free_in_another_space(subjects: Subjects) -> None:
    here, there = a_subject(space="home"), a_subject(space="office")
    await subjects.add(here)
    await subjects.add(there)
    assert await subjects.in_space("home") == [here]
    assert await subjects.in_space("office") == [there]
    assert await subjects.in_space("hom") == []
    await subjects.forget(here)
    assert await subjects.in_space("office") == [there]


async def test_the_newest_subject_comes_first(subjects: Subjects) -> None:
    for name, created_s in (("a", 2.0), ("b", 3.0), ("c", 1.0)):
        await subjects.add(a_subject(name, created_s=created_s))
    assert [subject.name for subject in await subjects.in_space("home")] == ["b", "a", "c"]


async def test_concurrent_changes_lose_none(subjects: Subjects) -> None:
    rex = a_subject()
    await subjects.add(rex)

    async def measure(name: str) -> None:
        await subjects.change(rex.id, lambda s: s.model_copy(update={"metrics": {**s.metrics, name: 1.0}}))

    await asyncio.gather(*(measure(f"m{n}") for n in range(10)))
    assert (await subjects.get(rex.id)).metrics == {f"m{n}": 1.0 for n in range(10)}


async def test_a_change_that_fails_changes_nothing(subjects: Subjects) -> None:
    rex = a_subject()
    await subjects.add(rex)
    with pytest.raises(ZeroDivisionError):
        await subjects.change(rex.id, lambda s: s.model_copy(update={"created_s": 1 / 0}))
    assert await subjects.get(rex.id) == rex


async def test_forgetting_frees_the_name_and_removes_everything(subjects: Subjects) -> None:
    rex, other = a_subject(), a_subject("other")
    await subjects.add(rex)
    await subjects.add(other)
    files = [
        f"subjects/{rex.id}/{name}" for name in ("photos/1.png", "checkpoints/j/250/state", "weights/w.safetensors")
    ]
    for key in files:
        await subjects.store.put(key, b"private")
    assert set(await subjects.forget(rex)) == {*files, subject_key(rex.id)}
    assert await subjects.find("home", "rex") is None
    with pytest.raises(Missing):
        await subjects.get(rex.id)
    with pytest.raises(Missing):
        await subjects.change(rex.id, lambda s: s)
    assert not any(rex.id in name for name in await subjects.store.names(""))
    assert await subjects.store.names(name_prefix("home"), filled=True) == [name_key("home", "other")]
    assert await subjects.in_space("home") == [other]
    again = a_subject()
    await subjects.add(again)
    assert await subjects.find("home", "rex") == again
    await subjects.forget(rex)
    assert await subjects.find("home", "rex") == again, "forgetting twice leaves who came after alone"


async def test_a_name_that_is_taken_while_it_is_freed_stays_taken(ways: tuple[Store, Store], hold: Hold) -> None:
    slow, quick = map(Subjects, ways)
    for freeing in (slow.forget, lambda _: GarbageCollector(slow.store, older_s=-1).sweep()):
        rex, new = a_subject(), a_subject()
        await slow.add(rex)
        if freeing != slow.forget:
            await quick.store.delete(subject_key(rex.id))  # a forgetting that a crash cut short
        hold.begin("/names/")
        freed = asyncio.create_task(freeing(rex))
        assert await asyncio.to_thread(hold.came.wait, 20)
        await quick.add(new)  # the record is gone, so the name can be had
        hold.end()
        await freed
        assert await quick.find("home", "rex") == new
        assert await quick.in_space("home") == [new]
        with pytest.raises(UserError):
            await quick.add(a_subject())
        await quick.forget(new)


async def test_a_change_after_forgetting_brings_nothing_back(subjects: Subjects) -> None:
    rex = a_subject()
    await subjects.add(rex)
    _, tag = await subjects.store.get(subject_key(rex.id))
    await subjects.forget(rex)
    assert not await subjects.store.replace(subject_key(rex.id), b"{}", tag)
    assert await subjects.store.names("", filled=True) == []


async def test_a_name_that_a_crash_left_behind_can_be_taken(subjects: Subjects) -> None:
    rex = a_subject()
    await subjects.add(rex)
    await subjects.store.delete(subject_key(rex.id))  # the first half of forgetting
    wanted = [a_subject() for _ in range(8)]
    answers = await asyncio.gather(*(subjects.add(subject) for subject in wanted), return_exceptions=True)
    assert answers.count(None) == 1
    assert await subjects.find("home", "rex") == wanted[answers.index(None)]


async def test_a_record_that_a_crash_left_without_a_name_is_not_seen(subjects: Subjects) -> None:
    rex = a_subject()
    await subjects.store.put(subject_key(rex.id), rex.model_dump_json().encode())  # the first half of adding
    assert await subjects.in_space("home") == []
    assert await subjects.find("home", "rex") is None
    await subjects.add(rex)
    await subjects.add(rex)  # an answer was lost: adding twice is adding once
    assert await subjects.in_space("home") == [rex]


async def test_a_broken_record_is_said(subjects: Subjects) -> None:
    rex = a_subject()
    await subjects.add(rex)
    await subjects.store.put(subject_key(rex.id), b"{")
    with pytest.raises(Damaged, match=r"record .subjects.* cannot be read"):
        await subjects.get(rex.id)


async def test_a_broken_record_does_not_hide_the_others(subjects: Subjects, caplog: pytest.LogCaptureFixture) -> None:
    rex, other = a_subject(), a_subject("other")
    await subjects.add(rex)
    await subjects.add(other)
    await subjects.store.put(subject_key(rex.id), b"{")
    assert await subjects.in_space("home") == [other]
    assert subject_key(rex.id) in caplog.text
