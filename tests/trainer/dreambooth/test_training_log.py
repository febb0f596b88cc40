"""Watching: what trackers are told of a training is what happened in it, and nothing about them can spoil it."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from accelerate.utils import LoggerType
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from bot.app import Darkroom
from bot.cli import training_logs
from storage.contract.jobs import job_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import SetupError, UserError
from storage.kinds.train import TrainJob
from storage.lifecycle.erasure import erase_subject
from storage.objects.folder import FolderStore
from storage.queue.job_progress import read_progress
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.conftest import Chat, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import valkey
from trainer.doctor import report
from trainer.dreambooth import training_log
from trainer.dreambooth.candidates import CandidateSnapshot
from trainer.dreambooth.trackers import TrackerThread, opened
from trainer.dreambooth.training_log import Trackers, TrainingLog
from trainer.protocol import SubjectResult, TrainResult
from trainer.worker.tensorboard_store import TensorBoardStore

STEPS = 210
SAMPLED = [52, 105, 158, 210]


def shown(folder: Path) -> EventAccumulator:
    """What TensorBoard shows of a run, all of it."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


def scalars(run: EventAccumulator, tag: str) -> dict[int, float]:
    events = run.Scalars(tag)
    assert len({event.step for event in events}) == len(events), f"steps of {tag} are there twice"
    return {event.step: event.value for event in events}


async def reached(app: Darkroom, step: int) -> None:
    """Wait until the only training has taken so many steps."""
    async with asyncio.timeout(120):
        while True:
            jobs = await app.dispatch.jobs("local")
            progress = await read_progress(app.redis, jobs[0].id) if jobs else None
            if progress and progress.step >= step:
                return
            await asyncio.sleep(0.05)


@pytest.mark.exhaustive
@pytest.mark.timeout(360)
async def test_a_training_that_was_killed_is_shown_as_one_and_goes_when_it_is_forgotten(
    micro_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey() as url:
        env = {
            "DARKROOM_HOME": str(tmp_path / "home"),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(micro_model),
            "DARKROOM_TRACKERS": "tensorboard",
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_LEASE_S": "2",
            "DARKROOM_CHECKPOINT_S": "0",
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        app = await Darkroom.open(BotSettings(), url)
        chat = Chat(app)
        first = await asyncio.to_thread(start_worker, env)
        how: dict[str, Any] = {"name": "rex", "noun": "dog", "steps": STEPS}
        training = asyncio.create_task(chat("dreambooth train", photos_of_a_character(), **how))
        await reached(app, 80)
        first.kill()
        first.communicate()
        second = await asyncio.to_thread(start_worker, env)
        ended = (await training)[-1]
        await asyncio.to_thread(stop_worker, second)
        assert ended.state == "done", ended.text

        result = await training_logs.fetch({"name": "rex"}, tmp_path / "out")
        files = [Path(path) for path in result.more["files"]]
        assert len(files) == 2 and "tensorboard --logdir" in result.message
        assert min(scalars(shown(files[1]), "train/loss")) > 10, "it did not go on, but began anew"
        for path in files:
            steps = [e.step for e in EventFileLoader(str(path)).Load() if e.HasField("summary") and e.step]
            assert steps == sorted(steps), "W&B takes steps in their order only"
        run = shown(files[0].parent)
        total, instance, prior = (scalars(run, tag) for tag in training_log.LOSSES)
        assert list(total) == list(instance) == list(prior) == list(range(1, STEPS + 1))
        assert all(total[k] == pytest.approx(instance[k] + prior[k], rel=1e-3) for k in total)
        assert list(scalars(run, "learning_rate/unet")) == list(range(10, STEPS + 1, 10))
        assert scalars(run, "learning_rate/text_encoders")[STEPS] == pytest.approx(1e-4)
        assert all(value > 0 for tag in ("step_s", "memory_mib") for value in scalars(run, f"system/{tag}").values())
        assert scalars(run, "kept_step") == {STEPS: STEPS}
        assert (
            list(scalars(run, "validation/instance_loss"))
            == list(scalars(run, "validation/prior_loss"))
            == [50, 100, 150, 200]
        )
        assert [picture.step for picture in run.Images("sample")] == SAMPLED
        told = b"".join(path.read_bytes() for path in files)
        assert b"learning_rate" in told and files[0].parent.name.encode() in told
        assert not any(typed in told for typed in (b"rex", b"local", b"zuf", str(tmp_path).encode()))

        await chat("dreambooth forget", name="rex")
        assert not [name for name in await app.store.names("") if "logs" in name]
        await app.close()


class Broken(GeneralTracker):  # type: ignore[misc]
    """A service that lets us in and then takes nothing."""

    name = "broken"
    requires_logging_directory = False
    tracker = None

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Take them."""

    def log(self, values: dict[str, Any], step: int | None = None, **how: Any) -> None:
        raise ConnectionError("nobody answers")


class Silent(Broken):
    """A service that never answers."""

    name = "silent"

    def __init__(self, until: threading.Event) -> None:
        super().__init__()
        self.until = until

    def log(self, values: dict[str, Any], step: int | None = None, **how: Any) -> None:
        self.until.wait()


def watched(folder: Path, *others: Callable[[], GeneralTracker], first: int = 1) -> TrainingLog:
    """A watch with TensorBoard and other trackers."""
    lines = [TrackerThread(str(make)) for make in others] + [TrackerThread("tensorboard")]
    for line, make in zip(lines, others, strict=False):
        line.open(make, {})
    lines[-1].open(partial(opened, "tensorboard", "job", folder, folder, first), {"steps": 3, "method": "full"})
    return TrainingLog(lines)


def test_a_tracker_that_fails_is_reported_once_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown() -> GeneralTracker:
        raise PermissionError("wrong key")

    Image.new("RGB", (8, 8), "red").save(tmp_path / "sample.png")
    with caplog.at_level(logging.WARNING):
        watch = watched(tmp_path, Broken, unknown)
        for step in range(1, 4):
            watch.log({"score": step / 2}, step)
        watch.validated(3, instance=0.5, prior=0.25)
        watch.validated(2, instance=0.75, prior=0.0)
        watch.picture("sample", tmp_path / "sample.png", 3)
        watch.finish()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("trainer")]
    assert len(said) == 2 and all(any(why in text for text in said) for why in ("nobody answers", "wrong key"))
    run = shown(tmp_path / "tensorboard")
    assert scalars(run, "score") == {1: 0.5, 2: 1.0, 3: 1.5}
    assert scalars(run, "validation/instance_loss") == {3: 0.5, 2: 0.75}
    assert scalars(run, "validation/prior_loss") == {3: 0.25}
    assert len(run.Images("sample")) == 1
    hyperparameters = run.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert hyperparameters.plugin_name == "hparams" and b"method" in hyperparameters.content


def test_the_card_of_each_subject_and_a_grid_of_each_candidate_are_logged(tmp_path: Path) -> None:
    Image.new("RGB", (8, 4), "red").save(tmp_path / "pair.png")
    watch, measures = watched(tmp_path), {"score": 0.5, "likeness": 0.625, "drift": 0.125}
    rows = [[Image.new("RGB", (8, 8), colour)] * 4 for colour in ("red", "blue")]
    watch.candidate(CandidateSnapshot(2, measures, None), rows)
    results = [
        SubjectResult(
            identifier=word, class_set="", metrics={"likeness": share}, before_after=str(tmp_path / "pair.png")
        )
        for word, share in (("zof", 0.75), ("vek", 0.25))
    ]
    watch.ended(TrainResult(job="job", state="done", subjects=tuple(results), losses=(1, 1, 1), kept_step=2))
    watch.finish()
    run = shown(tmp_path / "tensorboard")
    assert {name: scalars(run, f"candidate/{name}") for name in measures} == {n: {2: v} for n, v in measures.items()}
    (grid,) = run.Images("candidate")
    assert (grid.step, grid.width, grid.height) == (2, 32, 16)
    assert scalars(run, "report_card/likeness") == {3: 0.75} and scalars(run, "kept_step") == {3: 2}
    (other,) = [tag for tag in run.Tags()["scalars"] if tag.startswith("report_card") and "vek" in tag]
    assert scalars(run, other) == {3: 0.25}
    assert len([tag for tag in run.Tags()["images"] if tag.startswith("before_and_after")]) == 2


def test_nobody_waits_for_a_tracker_that_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_log, "WAIT_S", 0.5)
    until = threading.Event()
    watch = watched(tmp_path, partial(Silent, until))
    began_s = time.monotonic()
    for step in range(1, 31):
        watch.log({"score": step}, step)
    watch.finish()
    assert time.monotonic() - began_s < 30 * 0.5, "it waited for each of them"
    assert "late" in caplog.text
    assert len(scalars(shown(tmp_path / "tensorboard"), "score")) == 30
    until.set()


def test_a_run_that_goes_on_takes_the_place_of_what_was_in_vain(tmp_path: Path) -> None:
    for steps, first in ((range(1, 30), 1), (range(21, 41), 21)):
        watch = watched(tmp_path, first=first)
        for step in steps:
            watch.log({"score": first}, step)
        watch.finish()
    assert scalars(shown(tmp_path / "tensorboard"), "score") == {k: 1 if k < 21 else 21 for k in range(1, 41)}


def test_trackers_that_cannot_be_had_are_named_at_the_start(micro_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_BASE_MODEL", str(micro_model))
    PartialState._reset_state()  # as where the doctor looks
    missing = next(name for name in LOGGER_TYPE_TO_CLASS if LoggerType(name) not in get_available_trackers())
    for name, sentence in (
        (missing, f"{missing}, which is not installed"),
        ("tensorbored", "Accelerate knows .*wandb"),
    ):
        monkeypatch.setenv("DARKROOM_TRACKERS", f"tensorboard, {name}")
        with pytest.raises(SetupError, match=sentence):
            Trackers(TrainerSettings())
        found = report(TrainerSettings())
        assert found.state == "fail" and f"DARKROOM_TRACKERS names {name}" in found.lines[0]
    monkeypatch.setenv("DARKROOM_TRACKERS", " TensorBoard,,tensorboard ")
    assert [line.name for line in Trackers(TrainerSettings()).lines] == ["tensorboard"]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_late_upload_stays_only_with_its_subject(tmp_path: Path, forgotten: bool) -> None:
    store = FolderStore(tmp_path / "store")
    subject = Subject(space="local", owner="ada", name="rex", noun="dog", base_model="toyworld")
    await Subjects(store).add(subject)
    job = TrainJob(space="local", owner="ada", subjects=(subject.id,))
    await store.put(job_key(job.id), job.model_dump_json().encode())
    names = []
    for attempt in ("attempt-1-ab", "attempt-1-aa"):
        folder = tmp_path / attempt
        watched(folder).finish()
        if forgotten and names:
            await erase_subject(store, subject, [job.id])
        logs = TensorBoardStore(store, job, attempt, folder / "tensorboard")
        await logs.upload()
        names = [name.split("/")[-1] for name in await store.names(logs.prefix)]
    kept = ["0000-attempt-1-ab.tfevents", "0001-attempt-1-aa.tfevents"]
    assert names == ([] if forgotten else kept)


async def test_where_nothing_was_kept_a_sentence_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    store = FolderStore(TrainerSettings().home / "store")
    await Subjects(store).add(Subject(space="local", owner="you", name="rex", noun="dog", base_model="toyworld"))
    with pytest.raises(UserError, match=r"training logs of rex: .*DARKROOM_TRACKERS"):
        await training_logs.fetch({"name": "rex"}, tmp_path / "out")
    with pytest.raises(UserError):
        await training_logs.fetch({"name": "tom"}, tmp_path / "out")
