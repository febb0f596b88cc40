"""How far a large file is becomes a phase that people read."""

from pathlib import Path

from arq.connections import ArqRedis

from bot.answers import replies
from storage import queue
from storage.files import FolderStore
from storage.jobs import TrainJob
from storage.transfers import COPY_BYTES
from trainer.jobs.progress import Reporter


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
