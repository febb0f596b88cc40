"""How far a large file is becomes a phase that people read."""

import time
from pathlib import Path

from arq.connections import ArqRedis

from bot.kinds import presenter_of
from storage.kinds.train import TrainJob
from storage.objects.folder import FolderStore
from storage.objects.transfers import COPY_BYTES
from storage.queue.job_progress import read_progress
from trainer.protocol import ProgressReport
from trainer.worker.progress import ProgressReporter


async def test_saving_is_told_in_percent(redis: ArqRedis, tmp_path: Path) -> None:
    job = TrainJob(space="home", owner="ada", subjects=("rex",))
    reporter, read = ProgressReporter(redis, job.id), []
    big = tmp_path / "big"
    big.write_bytes(bytes(4 * COPY_BYTES))
    told = reporter.moving("saving")

    def note(share: float) -> None:
        told(share)
        read.append(presenter_of(job).working(job, reporter.now()).text)

    await FolderStore(tmp_path / "store").put_file("a/b", big, note)
    assert [text.split(" %")[0] for text in read] == [f"Saving, {percent}" for percent in (25, 50, 75, 100)]
    await reporter.write()
    progress = await read_progress(redis, job.id)
    assert progress and (progress.phase, progress.step, progress.of) == ("saving", 100, 100)


async def test_the_first_step_is_the_first_that_is_learned(redis: ArqRedis) -> None:
    reporter, before_s = ProgressReporter(redis, "job"), time.time()
    reporter.on_report(ProgressReport(job="job", phase="class images", step=1, of=4))
    assert reporter.first_step_s is None
    reporter.on_report(ProgressReport(job="job", phase="learning", step=1, of=4, losses=(1.0,)))
    first_s = reporter.first_step_s
    assert first_s and before_s <= first_s <= time.time()
    reporter.on_report(ProgressReport(job="job", phase="learning", step=2, of=4, losses=(1.0,)))
    assert reporter.first_step_s == first_s
