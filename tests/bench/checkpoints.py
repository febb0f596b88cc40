"""Measure what checkpoints cost a training with Toyworld: `python -m tests.bench.checkpoints [--every S] [--rounds N]`.

Trainings with and without take turns on one engine, so that a busy machine slows them alike. Checkpoints are written,
hashed and stored as a worker does it, beside the training. Prints JSON.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from random import Random

from research.toyworld.scenes import character
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.kinds.train import TrainJob
from storage.objects.folder import FolderStore
from trainer.models.default_recipe import recipe_for
from trainer.protocol import ProgressReport, SubjectTask, TaskResult, TrainTask
from trainer.toyworld.words import PLACES
from trainer.worker.checkpoint_store import CheckpointStore
from trainer.worker.engine_client import EngineClient

STEPS, WARM = 300, 10  # of a training, and those of them that are not measured
NEVER_S = 86_400.0


async def train(engine: EngineClient, folder: Path, photos: tuple[str, ...], every_s: float) -> tuple[float, int]:
    """Run a training; return seconds for a step, and how many checkpoints it wrote."""
    store = FolderStore(folder / "store")
    subject = Subject(space="home", owner="ada", name=new_id(), noun="dog", base_model="toyworld")
    await Subjects(store).add(subject)
    job = TrainJob(space="home", owner="ada", subjects=(subject.id,))
    checkpoints, kept = CheckpointStore(store, job), 0
    work = folder / job.id
    work.mkdir()
    recipe = recipe_for(Path((await engine.start()).folder), steps=STEPS, sample_steps=1)
    class_set = str(folder / "class.safetensors")
    about = SubjectTask(subject=subject.id, noun="dog", photos=photos, class_set=class_set)
    task = TrainTask(
        job=job.id,
        folder=str(work),
        subjects=(about,),
        taken=(),
        recipe=recipe.model_dump(),
        seed=1,
        checkpoint_s=every_s,
    )
    times_s: dict[int, float] = {}
    async with aclosing(engine.run(task)) as said:
        async for news in said:
            assert not isinstance(news, TaskResult) or news.state == "done", news
            if isinstance(news, ProgressReport) and news.phase == "learning":
                times_s.setdefault(news.step, time.monotonic())
                if news.checkpoint:
                    kept += 1
                    checkpoints.add(news.step, Path(news.checkpoint))
    await checkpoints.settle()
    await store.delete_prefix("subjects/")
    return (times_s[STEPS] - times_s[WARM]) / (STEPS - WARM), kept


async def measure(every_s: float, rounds: int, folder: Path) -> dict[str, float]:
    """Both, in turns."""
    photos = []
    for number in range(4):
        photos.append(str(folder / f"{number}.png"))
        character(1, "dog").photo(Random(number), PLACES[number], size_px=128).save(photos[-1])
    engine = EngineClient("toyworld")
    try:
        await train(engine, folder, tuple(photos), NEVER_S)  # draws the class set
        pairs = []
        for _ in range(rounds):
            without_s, _none = await train(engine, folder, tuple(photos), NEVER_S)
            with_s, kept = await train(engine, folder, tuple(photos), every_s)
            pairs.append((with_s, without_s, kept))
    finally:
        await engine.stop()
    share = statistics.median(with_s / without_s for with_s, without_s, _ in pairs) - 1
    written_every_s = statistics.median(with_s * STEPS / kept for with_s, _, kept in pairs)
    return {
        "step without checkpoints (ms)": round(1000 * statistics.median(pair[1] for pair in pairs), 1),
        "step with checkpoints (ms)": round(1000 * statistics.median(pair[0] for pair in pairs), 1),
        "overhead (%)": round(100 * share, 2),
        "a checkpoint every (s)": round(written_every_s, 1),
        "cost of a checkpoint (ms)": round(1000 * share * written_every_s),
        "rounds": rounds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.checkpoints", description=__doc__)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between checkpoints, as the setting has it")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(given.every, given.rounds, Path(folder))), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
