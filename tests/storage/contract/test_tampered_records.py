"""Records in which somebody has changed keys, hashes and counts: they are damaged, and no file outside is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.contract.outcomes import Candidate, Picture
from storage.contract.progress import Progress
from storage.contract.records import parsed
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Photo, Subject, subject_key
from storage.errors import Damaged, StoreError
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.kinds.stored import read_job
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.kinds.train_end import TRAIN
from storage.objects.folder import FolderStore
from trainer.worker.cache import Cache

HASH = "0f" * 32
PICTURE = Picture(key="jobs/a/b.png", width_px=8, height_px=8)
CANDIDATE = Candidate(step=1, weights_key="subjects/a/w", weights_sha256=HASH)
PHOTO = Photo(key="subjects/a/p.png", sha256=HASH, name="p", side_px=8, whole="subjects/a/q.png", whole_sha256=HASH)
SUBJECT = Subject(
    space="s", owner="o", name="rex", noun="dog", base_model="m", photos=(PHOTO,), weights_key="subjects/a/w",
    weights_sha256=HASH, class_set="classes/a", samples=(PICTURE,), before_after=PICTURE, candidates=(CANDIDATE,),
    choices=PICTURE,
)  # fmt: skip
LEARNED = TrainedSubject(
    weights_key="subjects/a/w", weights_sha256=HASH, identifier="x", recipe={}, class_set="classes/a",
    before_after=PICTURE, candidates=(CANDIDATE,), choices=PICTURE, samples=(PICTURE,),
)  # fmt: skip
OUTCOME = TrainOutcome(job=new_id(), state="done", message="", pictures=(PICTURE,), subjects=(LEARNED, LEARNED))
DRAWN = ImagineOutcome(job=new_id(), state="done", message="", pictures=(PICTURE,), grid=PICTURE)
CHECKED = {"key", "sha256", "whole", "whole_sha256", "weights_key", "weights_sha256", "class_set"}
ELSEWHERE = ["../../../etc/passwd", "/etc/passwd", "a/../../b", "a\\..\\b", "a\x00b", "./a", "..", "~/a b/"]


def places(fields: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a record of JSON keys and hashes stand, but for what only older versions read beside `subjects`."""
    if isinstance(fields, dict):
        fields = {name: value for name, value in fields.items() if name not in ("learned", "others")}
        return [p for name, value in fields.items() for p in places(value, (*path, name))]
    if isinstance(fields, list):
        return [p for number, value in enumerate(fields) for p in places(value, (*path, number))]
    return [path] if path and path[-1] in CHECKED else []


def changed(record: Any, path: tuple[Any, ...], value: object) -> bytes:
    fields = json.loads(record.model_dump_json())
    inner = fields
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(fields).encode()


@pytest.mark.parametrize("record", [SUBJECT, OUTCOME, DRAWN], ids=["subject", "training", "drawing"])
@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_key_or_hash_that_leads_elsewhere_is_damage(record: Any, elsewhere: str) -> None:
    found = places(json.loads(record.model_dump_json()))
    assert len(found) >= (2 if record is DRAWN else 9)
    for place in found:
        with pytest.raises(Damaged):
            parsed(type(record), changed(record, place, elsewhere), "a")


async def test_nothing_outside_the_cache_is_touched(tmp_path: Path) -> None:
    store, victim = FolderStore(tmp_path / "store"), tmp_path / "victim"
    victim.write_text("mine")
    cache = Cache(store, tmp_path / "home" / "cache")
    for key in ("../../victim", str(victim), "a/../../../victim"):
        with pytest.raises(StoreError):
            await cache.path(key, HASH)
    assert victim.read_text() == "mine" and not (tmp_path / "home").exists()


async def test_a_tampered_subject_is_damaged_wherever_it_is_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await Subjects(store).add(SUBJECT)
    await store.put(subject_key(SUBJECT.id), changed(SUBJECT, ("weights_key",), "../../victim"))
    with pytest.raises(Damaged):
        await Subjects(store).get(SUBJECT.id)
    with pytest.raises(Damaged):
        await Subjects(store).change(SUBJECT.id, lambda found: found.model_copy(update={"noun": "cat"}))
    assert await Subjects(store).in_space("s") == []


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("train", {"steps": 10**9}), ("train", {"seed": 10**30}), ("train", {"subjects": ["a"] * 1000}),
        ("train", {"subjects": []}), ("train", {"subjects": ["../x"]}), ("train", {"subjects": "abc"}),
        ("train", {"note": "x" * 10**6}),
        ("imagine", {"count": 10**9}), ("imagine", {"prompt": "x" * 10**6}), ("imagine", {"subjects": ["/x"]}),
        ("imagine", {"vary_seed": 10**30}), ("imagine", {"id": "../x"}),
    ],
)  # fmt: skip
def test_sizes_in_a_job_are_bounded(kind: str, fields: dict[str, object]) -> None:
    train = TrainJob(space="s", owner="o", subjects=(new_id(),))
    imagine = ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1)
    job = {"train": train, "imagine": imagine}[kind]
    with pytest.raises(Damaged):
        read_job(json.dumps({**json.loads(job.model_dump_json()), **fields}).encode())


async def test_sizes_in_what_is_shown_are_bounded(tmp_path: Path) -> None:
    store, picture = FolderStore(tmp_path), json.loads(PICTURE.model_dump_json())
    body = changed(OUTCOME, ("pictures",), [picture] * 20_000)
    await store.put(f"jobs/{OUTCOME.job}/outcome.json", body)
    with pytest.raises(Damaged):
        await TRAIN.read_outcome(store, OUTCOME.job)
    with pytest.raises(Damaged):
        parsed(ImagineOutcome, changed(DRAWN, ("grid",), {**picture, "width_px": 10**12}), "a")
    progress = Progress(job=OUTCOME.job, phase="learning")
    with pytest.raises(Damaged):
        parsed(Progress, changed(progress, ("losses",), [1.0] * 20_000), "a")
