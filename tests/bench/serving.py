"""Serving many subjects beside diffusers' pipeline: `python -m tests.bench.serving [--rounds 5]`.

Toyworld, one thread, both in one process and in turns. The peer is a warm `StableDiffusionPipeline` with the same
scheduler, whose handler loads each request's LoRA and unloads it, one request after another. Ours is the engine as a
worker runs it: tasks come in, PNG files and a grid go out, which the peer does not write; the peer sends nothing back.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from transformers.utils.logging import disable_progress_bar

from tests.conftest import photos_of_a_character
from tests.support.random_adapters import lora_file
from trainer.engine.engine import Engine
from trainer.models.base import load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.local_files import TOYWORLD_FOLDER
from trainer.protocol import ImagineTask, ProgressReport, SubjectTask, TrainTask

SUBJECTS, STEPS, GUIDANCE, PROMPT = 12, 20, 4.0, "a dog in Paris"


class Ours:
    """The engine, and what it said."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        self.folder, self.files, self.number = folder, files, 0
        self.engine = Engine(load_base("toyworld"), self.hear)
        self.ended_s: dict[str, float] = {}
        self.on_step: Callable[[str], None] = lambda job: None

    def hear(self, news: Any) -> None:
        if isinstance(news, ProgressReport):
            self.on_step(news.job)
        elif getattr(news, "state", None):
            assert news.state == "done", news
            self.ended_s[news.job] = time.perf_counter()

    def task(self, subject: int | None, count: int = 1, owner: str = "", steps: int = STEPS) -> ImagineTask:
        """A request for pictures of a subject, or of none."""
        self.number += 1
        out = self.folder / str(self.number)
        out.mkdir()
        how: dict[str, Any] = {"guidance": GUIDANCE, "negative": "", "scheduler": "dpm++2m", "vary_seed": None}
        return ImagineTask(
            job=str(self.number),
            folder=str(out),
            owner=owner or str(self.number),
            prompt=PROMPT,
            weights=None if subject is None else self.files[subject],
            seeds=tuple(range(count)),
            steps=steps,
            facts={},
            **how,
        )

    def draw(self, *tasks: ImagineTask) -> None:
        """Run tasks that have come at once."""
        for task in tasks:
            self.engine.inbox.put(task)
        self.engine.run_until_idle()


class Theirs:
    """A warm pipeline and its naive handler."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.pipeline: Any = StableDiffusionPipeline.from_pretrained(
            TOYWORLD_FOLDER, safety_checker=None, torch_dtype=torch.float32
        )
        self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(self.pipeline.scheduler.config)
        self.pipeline.set_progress_bar_config(disable=True)

    def draw(self, subject: int | None, count: int = 1, steps: int = STEPS) -> None:
        """One request."""
        if subject is not None:
            self.pipeline.load_lora_weights(self.files[subject])
        chance = [torch.Generator().manual_seed(seed) for seed in range(count)]
        how = {"num_images_per_prompt": count, "num_inference_steps": steps, "guidance_scale": GUIDANCE}
        self.pipeline(PROMPT, generator=chance, **how)
        if subject is not None:
            self.pipeline.unload_lora_weights()


def zipf(count: int) -> list[int]:
    """Subjects of a burst of requests, by Zipf's law with exponent 1.1."""
    weights = [1 / (rank + 1) ** 1.1 for rank in range(SUBJECTS)]
    return random.Random(1).choices(range(SUBJECTS), weights, k=count)


def side_by_side(ours: Ours, theirs: Theirs) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Rows: what each side does."""
    burst = zipf(24)
    return {
        "S1 one picture, 20 steps": (lambda: ours.draw(ours.task(None)), lambda: theirs.draw(None)),
        "S1 one picture, 50 steps": (
            lambda: ours.draw(ours.task(None, steps=50)),
            lambda: theirs.draw(None, steps=50),
        ),
        "S2 8 pictures": (lambda: ours.draw(ours.task(None, 8)), lambda: theirs.draw(None, 8)),
        "S2 16 pictures": (lambda: ours.draw(ours.task(None, 16)), lambda: theirs.draw(None, 16)),
        "S3 8 LoRA subjects, one picture each": (
            lambda: ours.draw(*(ours.task(subject) for subject in range(8))),
            lambda: [theirs.draw(subject) for subject in range(8)],
        ),
        "S7 24 requests, Zipf over 12 subjects": (
            lambda: ours.draw(*(ours.task(subject) for subject in burst)),
            lambda: [theirs.draw(subject) for subject in burst],
        ),
    }


def compare(ours: Ours, theirs: Theirs, rounds: int) -> dict[str, Any]:
    """Medians of wall and CPU time, and ratios within rounds."""
    table = {}
    for name, sides in side_by_side(ours, theirs).items():
        for side in sides:
            side()  # to warm up
        took = [[_timed(side) for side in sides] for _ in range(rounds)]
        wall, cpu = ([statistics.median(r[side][k] for r in took) for side in (0, 1)] for k in (0, 1))
        ratio = statistics.median(r[1][0] / r[0][0] for r in took)
        table[name] = {"ours_s": wall[0], "theirs_s": wall[1], "ours_cpu_s": cpu[0], "theirs_cpu_s": cpu[1]}
        table[name] = {key: round(value, 3) for key, value in table[name].items()} | {"times": round(ratio, 2)}
        print(name, table[name], flush=True)  # noqa: T201
    return table


def _timed(side: Callable[[], object]) -> tuple[float, float]:
    began_s, cpu_s = time.perf_counter(), time.process_time()
    side()
    return time.perf_counter() - began_s, time.process_time() - cpu_s


def waiting(ours: Ours, rounds: int) -> float:
    """How long one picture takes that is asked for behind somebody's sixteen ÷ alone."""
    return round(
        statistics.median(_behind_sixteen(ours) / _timed(lambda: ours.draw(ours.task(None)))[0] for _ in range(rounds)),
        2,
    )


def _behind_sixteen(ours: Ours) -> float:
    """Seconds from asking for one picture, after some steps of another's sixteen, until it is there."""
    first, late, steps = ours.task(None, 16, owner="ada"), ours.task(None, owner="bob"), Counter[str]()
    asked_s = 0.0

    def on_step(job: str) -> None:
        nonlocal asked_s
        steps[job] += 1
        if job == first.job and steps[job] == 6:
            asked_s = time.perf_counter()
            ours.engine.inbox.put(late)

    ours.on_step = on_step
    ours.draw(first)
    ours.on_step = lambda job: None
    return ours.ended_s[late.job] - asked_s


def training_share(ours: Ours, seconds: float = 30.0) -> float:
    """Steps of a training while pictures always wait ÷ alone, in steps a second."""
    photos = ours.folder / "photos"
    photos.mkdir()
    for upload in photos_of_a_character():
        (photos / upload.name).write_bytes(upload.data)
    files = tuple(str(path) for path in sorted(photos.iterdir()))
    subject = SubjectTask(subject="s", noun="dog", photos=files, class_set=str(ours.folder / "class.safetensors"))
    changes = {"steps": 4000, "prior_weight": 0.0, "validate_every": 0, "candidates": 1, "report_card": False}
    recipe = {**recipe_for(ours.engine.base.folder).model_dump(), **changes}
    task = TrainTask(
        job="training",
        folder=str(photos.parent),
        subjects=(subject,),
        taken=(),
        recipe=recipe,
        seed=0,
        checkpoint_s=999,
    )
    engine, steps = ours.engine, 0

    def count(job: str) -> None:
        nonlocal steps
        steps += job == "training"

    def run(busy: bool) -> float:
        nonlocal steps
        steps, began_s = 0, time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            while busy and len(engine.scheduler._drawings) < 3:
                engine.scheduler.add(engine._run_of(ours.task(None)))
            for run in engine.scheduler.step():
                assert run.state != "failed", run.error
        return steps / (time.perf_counter() - began_s)

    ours.on_step = count
    engine.scheduler.add(engine._run_of(task))
    for _ in range(12):
        engine.scheduler.step()
    alone, beside = run(busy=False), run(busy=True)
    engine.scheduler.cancel("training")
    return round(beside / alone, 3)


def main() -> None:
    """Print a table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as home:
        base = load_base("toyworld")
        files = [lora_file(base, Path(home) / f"{k}.safetensors", rank=4, alpha=4, seed=k) for k in range(SUBJECTS)]
        ours = Ours(Path(home), files)
        table: dict[str, Any] = compare(ours, Theirs(files), rounds)
        table["one picture behind sixteen ÷ alone"] = waiting(ours, rounds)
        table["training while pictures wait ÷ alone"] = training_share(ours)
        print(json.dumps(table, indent=1, ensure_ascii=False))  # noqa: T201


if __name__ == "__main__":
    main()
