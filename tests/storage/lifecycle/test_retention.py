"""What `darkroom prune` lets go, and what it leaves: open jobs, young ones, and what made a subject."""

from pathlib import Path

import pytest

from bot.cli import prune as pruning
from storage.contract.jobs import job_key
from storage.contract.outcomes import Picture
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.ids import new_id
from storage.kinds import kind_of
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.lifecycle.finalize import finalize_job, publish_outcome
from storage.lifecycle.job_index import JobIndex
from storage.lifecycle.retention import prune
from storage.objects.folder import FolderStore
from tests.support.stores import records

WEEK_S = 7 * 24 * 3600.0
OLD = {"accepted_s": 1.0}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def ended(store: FolderStore, job: TrainJob | ImagineJob, is_open: bool = False) -> str:
    await JobIndex(store).add(job)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    picture = Picture(key=f"jobs/{job.id}/attempt-1-a/1.png", width_px=1, height_px=1)
    await store.put(picture.key, b"a picture")
    if not is_open:
        await publish_outcome(
            store, job, kind_of(job).outcome(job=job.id, state="done", message="", pictures=(picture,))
        )
        await finalize_job(store, job)
    return job.id


def drawing(number: int, **changes: object) -> ImagineJob:
    fields = {"id": f"{number:020x}", "space": "home", "owner": "ada", "prompt": "", "model_prompt": "", "seed": 1}
    return ImagineJob.model_validate({**fields, **OLD, **changes})


async def filled(store: FolderStore) -> tuple[list[str], list[str]]:
    """Jobs of every kind; gives those that are to go, and those that are to stay."""
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m", job=f"{2:020x}")
    await Subjects(store).add(rex)
    go = [
        await ended(store, drawing(1)),
        await ended(store, TrainJob(id=f"{3:020x}", space="home", owner="ada", subjects=(rex.id,), **OLD)),
        await ended(store, TrainJob(id=f"{4:020x}", space="home", owner="ada", subjects=(new_id(),), **OLD)),
    ]
    stay = [
        await ended(store, TrainJob(id=f"{2:020x}", space="home", owner="ada", subjects=(rex.id,), **OLD)),
        await ended(store, drawing(5), is_open=True),
        await ended(store, drawing(6, id=new_id())),
        await ended(store, drawing(7, accepted_s=2e9)),  # whoever gave it its id had a clock that was wrong
    ]
    return go, stay


async def test_old_jobs_go_and_what_is_needed_stays(store: FolderStore) -> None:
    go, stay = await filled(store)
    before = await store.names("")
    assert [pruned.job.id async for pruned in prune(store, WEEK_S, dry_run=True)] == sorted(go)
    assert await store.names("") == before
    assert [pruned.objects async for pruned in prune(store, WEEK_S)] == [3, 3, 3]
    left = {name.split("/")[1] for name in await store.names("jobs/")}
    assert left == {*stay}
    assert not [name for name in await store.names("") for job in go if job in name]
    assert [pruned async for pruned in prune(store, WEEK_S)] == []
    assert f"jobs/{stay[0]}/outcome.json" in await records(store)


async def test_the_command_says_what_it_removed(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    monkeypatch.setenv("DARKROOM_STORE", str(store.root))
    go, stay = await filled(store)
    said = await pruning.result(7, dry_run=True)
    assert said.message == "Would delete 1 drawing and 2 trainings, 9 objects of more than 7 days ago."
    assert len(await store.names("jobs/")) > len(stay) * 2
    said = await pruning.result(7, dry_run=False)
    assert said.message.startswith("Deleted 1 drawing and 2 trainings, 9 objects")
    assert [row["job"] for row in said.more["jobs"]] == sorted(go)
    with pytest.raises(UserError, match="a number of days, at least 1"):
        await pruning.result(0, dry_run=True)
