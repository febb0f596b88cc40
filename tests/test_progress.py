"""How far a large file is becomes a phase that people read."""

import time
from pathlib import Path

from arq.connections import ArqRedis

from bot.answers import replies
from storage import queue
from storage.files import FolderStore
from storage.jobs import TrainJob
from storage.transfers import COPY_BYTES
from trainer.jobs.progress import Reporter
from trainer.seam import Report


async def test_saving_is_told_in_percent(redis: ArqRedis, tmp_path: Path) -> None:
    job = TrainJob(space="home", owner="ada", subject="rex")
    reporter, read = Reporter(redis, job.id), []
    big = tmp_path / "big"
    big.write_bytes(bytes(4 * COPY_BYTES))
    told = reporter.moving("saving")

    def note(share: float) -> None:
        told(share)
        read.append(replies.working(job, reporter.now()).text)

    await FolderStore(tmp_path / "store").put_file("a/b", big, note)
    assert [text.split(" %")[0] for text in read] == [f"Saving, {percent}" for percent in (25, 50, 75, 100)]
    await reporter.write()
    progress = await queue.read_progress(redis, job.id)
    assert progress and (progress.phase, progress.step, progress.of) == ("saving", 100, 100)


async def test_the_first_step_is_the_first_that_is_learned(redis: ArqRedis) -> None:
    reporter, before_s = Reporter(redis, "job"), time.time()
    reporter.heard(Report(job="job", phase="class images", step=1, of=4))
    assert reporter.first_step_s is None
    reporter.heard(Report(job="job", phase="learning", step=1, of=4, losses=(1.0,)))
    first_s = reporter.first_step_s
    assert first_s and before_s <= first_s <= time.time()
    reporter.heard(Report(job="job", phase="learning", step=2, of=4, losses=(1.0,)))
    assert reporter.first_step_s == first_s
