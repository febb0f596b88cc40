"""What subjects are drawn from: by their report cards, by what the record says, and by records of other versions."""

import json
from typing import Any

import pytest

from storage.contract.outcomes import Picture
from storage.contract.photo_source import better_source
from storage.contract.records import parsed
from storage.contract.subjects import Photo, Subject
from storage.errors import Damaged
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import read_job, read_stored_job
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.kinds.train_end import _with_result

PHOTO = Photo(key="subjects/1/photos/a.png", sha256="a", name="rex.png", side_px=64)


def subject(**more: object) -> Subject:
    usual = {"space": "s", "owner": "o", "name": "rex", "noun": "dog", "base_model": "b", "photos": (PHOTO,)}
    return Subject.model_validate({**usual, **more})


@pytest.mark.parametrize(
    ("learned", "first_look", "better"),
    [
        ((0.8, 0.9), (0.6, 0.9), "training"),
        ((0.4, 0.9), (0.6, 0.9), "photos"),
        ((0.8, 0.5), (0.7, 1.0), "photos"),  # it looks like the photos wherever it is asked to be
        ((0.8, 0.9), (0.8, 0.9), "training"),
        ((1.0, 0.9), (1.3, 0.9), "training"),  # no more like the photos than they are
        (None, (0.6, 0.9), "training"),
        ((0.1, 0.1), None, "training"),
    ],
)
def test_whichever_has_the_better_card_draws(
    learned: tuple[float, float] | None, first_look: tuple[float, float] | None, better: str
) -> None:
    cards = [dict(zip(("likeness", "obedience"), card or (), strict=False)) for card in (learned, first_look)]
    assert better_source(*cards) == better


@pytest.mark.parametrize(
    ("says", "drawable", "from_photos"),
    [
        ({}, False, False),
        ({"references": 4}, True, True),
        ({"references": 4, "photos": ()}, False, False),
        ({"references": 4, "state": "failed"}, True, True),
        ({"references": 4, "state": "ready"}, True, False),
        ({"references": 4, "state": "ready", "drawn_from": "photos"}, True, True),
        ({"references": 4, "state": "ready", "drawn_from": "sketches"}, True, False),  # of a newer version
        ({"references": 4, "state": "melting"}, False, True),
        ({"state": "ready", "drawn_from": "photos"}, True, False),  # the base model is another by now
    ],
)
def test_a_record_says_what_a_subject_is_drawn_from(says: dict[str, object], drawable: bool, from_photos: bool) -> None:
    record = subject(**says)
    assert (record.is_drawable, record.is_drawn_from_photos) == (drawable, from_photos)


def test_records_of_before_are_read_as_drawn_by_what_was_learned() -> None:
    new = {"references", "first_look", "compared", "drawn_from"}
    old = {
        name: value for name, value in json.loads(subject(state="ready").model_dump_json()).items() if name not in new
    }
    record = parsed(Subject, json.dumps(old).encode(), "subjects/1/subject.json")
    assert record == subject(id=record.id, created_s=record.created_s, state="ready")
    assert not record.is_drawn_from_photos and record.is_drawable
    train = TrainJob(space="s", owner="o", subjects=("1",))
    drawing = ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1)
    assert "from_photos" not in json.loads(drawing.model_dump_json())
    before = json.loads(train.model_dump_json())
    assert "first_look" not in before
    assert read_job(json.dumps(before).encode()) == train


def test_a_drawing_from_photos_is_left_alone_by_versions_that_know_of_none() -> None:
    how: dict[str, Any] = {"space": "s", "owner": "o", "prompt": "a dog", "model_prompt": "a dog", "seed": 1}
    plain, look = ImagineJob(**how), ImagineJob(**how, from_photos=True)
    assert (plain.schema_version, look.schema_version) == (1, 2)
    body = look.model_dump_json().encode()
    assert read_job(body) == look and not look.is_newer
    of_before = json.loads(body) | {"schema_version": 1}  # as it was written at first
    assert read_job(json.dumps(of_before).encode()).from_photos  # type: ignore[attr-defined]
    of_later = read_stored_job(json.dumps(of_before | {"schema_version": 3}).encode())
    assert not of_later.is_understood and of_later.id == look.id
    with pytest.raises(Damaged):
        read_job(json.dumps(json.loads(body) | {"seed": -1}).encode())


def test_the_end_of_a_training_decides_and_keeps_what_was_measured() -> None:
    job = TrainJob(space="s", owner="o", subjects=("1",))
    compared = Picture(key="jobs/1/a/compared.png", width_px=8, height_px=8)
    trained = TrainedSubject(
        subject="1",
        weights_key="subjects/1/weights/a",
        weights_sha256="a",
        identifier="zuf",
        recipe={"method": "lora"},
        first_look={"likeness": 0.9, "obedience": 1.0},
        compared=compared,
        drawn_from="photos",
    )
    outcome = TrainOutcome(job=job.id, state="done", message="", subjects=(trained,))
    assert compared.key in outcome.published
    record = _with_result(subject(id="1", references=4), job, outcome)
    assert record.state == "ready" and record.is_drawn_from_photos and record.compared == compared
    read = TrainOutcome.model_validate_json(outcome.model_dump_json())
    assert read.subjects[0].drawn_from == "photos" and read.subjects[0].first_look == trained.first_look
