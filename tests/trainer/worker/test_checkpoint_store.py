"""Checkpoints on their way to the store."""

from pathlib import Path

from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.kinds.train import TrainJob
from storage.objects.folder import FolderStore
from trainer.worker.checkpoint_store import CheckpointStore


async def test_the_newest_stays_on_this_machine_for_the_engine_to_go_on_from(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="toyworld")
    await Subjects(store).add(subject)
    checkpoints = CheckpointStore(store, TrainJob(space="home", owner="ada", subjects=(subject.id,)))
    for step in (2, 4, 6, 8):
        path = tmp_path / f"checkpoint-{step}.safetensors"
        path.write_bytes(b"%d" % step)
        checkpoints.add(step, path)
        if step != 6:  # which gives way to the next one
            await checkpoints.settle()
        assert path.exists()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-8.safetensors"]
    newest = await checkpoints.newest(tmp_path)
    assert newest and newest.read_bytes() == b"8"
