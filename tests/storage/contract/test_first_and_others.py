"""Records that name the first of several subjects apart, as all did before: still read, and still written so."""

import json
from typing import Any

import pytest

from storage.contract.jobs import NewerJob
from storage.contract.records import parsed
from storage.errors import Damaged
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import read_job, read_stored_job
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome

REX, MIA, HASH = "a" * 20, "b" * 20, "1" * 64
TRAIN = (
    '{"schema_version":1,"id":"0123456789abcdef0123","kind":"train","space":"s","owner":"o","said":"","said_in":"",'
    '"shared":null,"shared_with":"","accepted_s":1.0,"subject":"aaaaaaaaaaaaaaaaaaaa",'
    '"others":["bbbbbbbbbbbbbbbbbbbb"],"method":null,"steps":null,"recipe":{},"seed":0,"note":""}'
)
IMAGINE = (
    '{"schema_version":1,"id":"0123456789abcdef0124","kind":"imagine","space":"s","owner":"o","said":"","said_in":"",'
    '"shared":null,"shared_with":"","accepted_s":1.0,"prompt":"a [rex] and a [mia]","subject":"aaaaaaaaaaaaaaaaaaaa",'
    '"others":["bbbbbbbbbbbbbbbbbbbb"],"model_prompt":"a zuf dog and a vek dog","count":4,"seed":1,"steps":30,'
    '"guidance":5.0,"negative":"","scheduler":"dpm++2m","size_px":null,"width_px":null,"height_px":null,'
    '"aspect":"1:1","vary_seed":null,"unasked":[]}'
)
LEARNED = (
    '{"weights_key":"subjects/a/w","weights_sha256":"' + HASH + '","identifier":"zuf","recipe":{},"base_revision":"",'
    '"base_sha256":"","class_set":"","photos_differ":0,"metrics":{},"before_after":null,"kept_step":0,"candidates":[],'
    '"choices":null,"samples":[]}'
)
OUTCOME = (
    '{"schema_version":1,"job":"0123456789abcdef0123","state":"done","message":"Ready.","detail":"","seconds":0.0,'
    '"pictures":[],"grid":null,"learned":' + LEARNED + ',"others":{"bbbbbbbbbbbbbbbbbbbb":'
    + LEARNED.replace("zuf", "vek")
    + '},"subject":"aaaaaaaaaaaaaaaaaaaa","subject_version":null,"steps":null,"first_step_s":null,"loss_first":null,'
    '"loss_last":null,"validated":[],"settings":{}}'
)  # fmt: skip


@pytest.mark.parametrize("body", [TRAIN, IMAGINE], ids=["train", "imagine"])
def test_a_job_of_before_is_read_and_written_so_that_the_version_before_reads_it(body: str) -> None:
    job = read_job(body.encode())
    assert isinstance(job, TrainJob | ImagineJob) and job.subjects == (REX, MIA)
    written = json.loads(job.model_dump_json())
    assert written.pop("subjects") == [REX, MIA]
    assert written == json.loads(body)
    assert read_job(job.model_dump_json().encode()) == job


def test_a_drawing_of_before_without_subjects_is_read() -> None:
    job = read_job(json.dumps({**json.loads(IMAGINE), "subject": None, "others": []}).encode())
    assert job.subjects == ()


def test_an_outcome_of_before_is_read_and_written_so_that_the_version_before_reads_it() -> None:
    outcome = parsed(TrainOutcome, OUTCOME.encode(), "outcome")
    assert [each.subject for each in outcome.subjects] == [REX, MIA]
    rex, mia = outcome.learned_of(REX), outcome.learned_of(MIA)
    assert rex and mia and (rex.identifier, mia.identifier) == ("zuf", "vek")
    written = json.loads(outcome.model_dump_json())
    assert [each["subject"] for each in written.pop("subjects")] == [REX, MIA]
    assert written == json.loads(OUTCOME)
    assert parsed(TrainOutcome, outcome.model_dump_json().encode(), "outcome") == outcome


def test_an_outcome_of_before_that_does_not_name_its_subject_is_of_its_job_s() -> None:
    fields = {**json.loads(OUTCOME), "others": {}, "subject": None}
    learned = parsed(TrainOutcome, json.dumps(fields).encode(), "outcome").learned_of(MIA)
    assert learned and learned.identifier == "zuf"


def test_a_job_of_a_newer_version_names_its_subjects_either_way() -> None:
    for body in (TRAIN, json.dumps({**json.loads(TRAIN), "subjects": [REX, MIA, 5, "no id"]})):
        job = read_stored_job(json.dumps({**json.loads(body), "kind": "upscale"}).encode())
        assert isinstance(job, NewerJob) and job.subjects == (REX, MIA)


@pytest.mark.parametrize(
    "fields",
    [{"subject": None}, {"subject": 5}, {"subject": "../x"}, {"others": "abc"}, {"others": ["../x"]}, {"others": [5]}],
)
def test_a_damaged_job_of_before_is_damage(fields: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        read_job(json.dumps({**json.loads(TRAIN), **fields}).encode())


@pytest.mark.parametrize("fields", [{"learned": 5}, {"others": [5]}, {"others": {REX: 5}}, {"subject": "../x"}])
def test_a_damaged_outcome_of_before_is_damage(fields: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        parsed(TrainOutcome, json.dumps({**json.loads(OUTCOME), **fields}).encode(), "outcome")


def test_what_was_learned_of_one_is_stored_with_its_subject() -> None:
    learned = TrainedSubject(subject=REX, weights_key="a/b", weights_sha256=HASH, identifier="zuf", recipe={})
    outcome = TrainOutcome(job=json.loads(TRAIN)["id"], state="done", message="", subjects=(learned,))
    written = json.loads(outcome.model_dump_json())
    assert written["subject"] == REX and written["others"] == {} and "subject" not in written["learned"]
    assert outcome.learned_of(REX) == learned and outcome.learned_of(MIA) is None
