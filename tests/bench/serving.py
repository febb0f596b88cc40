"""Serving many subjects beside diffusers' pipeline: `python -m tests.bench.serving [--minutes 14] [--out FILE]`.

Toyworld, one thread on one core, both in one process and in turns. The peer is a warm `StableDiffusionPipeline` with
the same scheduler, whose handler loads each request's LoRA and unloads it, one request after another. Ours is the
engine as a worker runs it: tasks come in, PNG files and a grid go out, which the peer does not write; the peer sends
nothing back. Ours computes wide passes in bfloat16 where the CPU has instructions for it, as a worker does by default
(`--precision float32`: it does not); the peer computes in float32 (`--their-precision bfloat16`: all). Both have the
memory settings that a worker gives its engine. A row that the file has already is not measured again.

Each row is measured in as many rounds as its part of the time is enough for, up to `--rounds` and once at least; what
a row leaves is for those after it.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from tests.bench.serving_sides import Ours, Theirs, full_files, lora_files, training_process
from trainer.diffusion.row_adapters import AdaptedDenoiser
from trainer.models.base import load_base
from trainer.worker.engine_handle import KEEP_MEMORY

MANY, SHARE_S = 200, 20.0
Row = dict[str, Any]


@dataclass
class Bench:
    """Both sides, and where their files are."""

    ours: Ours
    theirs: Theirs
    folder: Path
    rounds: int
    requests: int
    until_s: float = 0.0  # when the row that is measured is to end

    def rounds_of(self) -> Iterator[int]:
        """Numbers of rounds, as many as there is time for if each takes as long as the longest before."""
        longest_s = 0.0
        for number in range(self.rounds):
            began_s = time.monotonic()
            if number and began_s + longest_s > self.until_s:
                return
            yield number
            longest_s = max(longest_s, time.monotonic() - began_s)

    def compare(self, ours: Callable[[], object], theirs: Callable[[], object]) -> Row:
        """Medians of wall and CPU time of both, in turns, and ratios within rounds."""
        for side in (ours, theirs):
            side()  # to warm up
        took = [[_timed(side) for side in (ours, theirs)] for _ in self.rounds_of()]
        wall, cpu = ([statistics.median(r[side][k] for r in took) for side in (0, 1)] for k in (0, 1))
        ratio, cpu_ratio = (statistics.median(r[1][k] / r[0][k] for r in took) for k in (0, 1))
        row = {"ours_s": wall[0], "theirs_s": wall[1], "ours_cpu_s": cpu[0], "theirs_cpu_s": cpu[1]}
        return _rounded({**row, "times": ratio, "times_cpu": cpu_ratio, "rounds": len(took)})


def rows(bench: Bench) -> Iterator[tuple[str, Callable[[], Row]]]:
    """What is measured, by name."""
    ours, theirs, compare = bench.ours, bench.theirs, bench.compare
    for steps in (20, 50):
        yield (
            f"S1 one picture, {steps} steps",
            lambda n=steps: compare(lambda: ours.draw(ours.task(None, steps=n)), lambda: theirs.draw(None, steps=n)),
        )
    for count in (8, 16):
        yield (
            f"S2 {count} pictures",
            lambda n=count: compare(lambda: ours.draw(ours.task(None, n)), lambda: theirs.draw(None, n)),
        )
    yield (
        "S3 8 LoRA subjects, one picture each",
        lambda: compare(
            lambda: ours.draw(*(ours.task(subject) for subject in range(8))), lambda: theirs.in_turn([*range(8)])
        ),
    )
    yield "S4 8 full subjects, one picture each", lambda: full_subjects(bench)
    yield "S5 switch of a resident LoRA", lambda: switch(bench)
    yield "one picture behind sixteen ÷ alone", lambda: waiting(bench)
    yield "training while pictures wait ÷ alone", lambda: training_share(ours)
    for subjects in (12, MANY):
        for beside in (False, True):
            name = f"S7 Zipf over {subjects} subjects{', a training beside' if beside else ''}"
            yield name, lambda n=subjects, b=beside: zipf(bench, n, b)


def _timed(side: Callable[[], object]) -> tuple[float, float]:
    began_s, cpu_s = time.perf_counter(), time.process_time()
    side()
    return time.perf_counter() - began_s, time.process_time() - cpu_s


def _rounded(row: Row) -> Row:
    return {name: float(f"{value:.3g}") for name, value in row.items()}


def full_subjects(bench: Bench) -> Row:
    """Subjects of full trainings in turn; the peer loads the weights of each into its networks."""
    folders = full_files(bench.ours.engine.base, bench.folder, 8)

    def theirs() -> None:
        for folder in folders:
            bench.theirs.load_whole(folder)
            bench.theirs.plain()

    files = [str(folder / "weights.safetensors") for folder in folders]
    row = bench.compare(lambda: bench.ours.draw(*map(bench.ours.task, files)), theirs)
    unet, text_encoder = bench.ours.engine.base.denoiser.children()  # what later rows draw with
    bench.theirs.pipeline.unet.load_state_dict(unet.state_dict())
    bench.theirs.pipeline.text_encoder.load_state_dict(text_encoder.state_dict())
    return row


def switch(bench: Bench) -> Row:
    """From one subject's adapters to another's, both resident, in milliseconds; of CPU time where there is no GPU."""
    ours, theirs = bench.ours, bench.theirs

    def switched(subject: int) -> None:
        with ours.engine.subjects.loaded(ours.files[subject]) as drawer:
            assert isinstance(drawer, AdaptedDenoiser)
            with drawer.rows.selection.rows([(drawer.adapters, 2)]):
                for path in drawer.adapters[0].layers:
                    drawer.rows.selection.factors(path)

    def loaded(subject: int) -> None:
        theirs.pipeline.load_lora_weights(theirs.files[subject])
        theirs.pipeline.unload_lora_weights()

    def median_ms(change: Callable[[int], object]) -> float:
        change(0), change(1)
        took = [_timed(lambda k=number: change(k % 2)) for number in range(12)]
        return statistics.median(each[0 if torch.cuda.is_available() else 1] for each in took) * 1000

    ours_ms, load_ms = median_ms(switched), median_ms(loaded)
    for subject in (0, 1):
        theirs.pipeline.load_lora_weights(theirs.files[subject], adapter_name=str(subject))
    set_ms = median_ms(lambda subject: theirs.pipeline.set_adapters(str(subject)))
    theirs.pipeline.unload_lora_weights()
    found = {"ours_ms": ours_ms, "set_adapters_ms": set_ms, "load_and_unload_ms": load_ms}
    return _rounded({**found, "times set_adapters": set_ms / ours_ms, "times load": load_ms / ours_ms})


def zipf(bench: Bench, subjects: int, beside: bool) -> Row:
    """A burst of requests by Zipf's law with exponent 1.1: pictures a second, and how long the slowest waited.

    A training beside the naive handler is a process on the same core.
    """
    weights = [1 / (rank + 1) ** 1.1 for rank in range(subjects)]
    ours, took = bench.ours, list[tuple[list[float], list[float]]]()
    ours.draw(ours.task(0)), bench.theirs.draw(0)  # to warm up
    for number in bench.rounds_of():
        burst = random.Random(number).choices(range(subjects), weights, k=bench.requests)
        with ours.beside_a_training() if beside else nullcontext():
            our_s = ours.draw(*map(ours.task, burst))
        with training_process(bench.folder) if beside else nullcontext():
            took.append((our_s, bench.theirs.in_turn(burst)))
    told = [[(max(each), statistics.quantiles(each, n=20, method="inclusive")[18]) for each in both] for both in took]
    wall = [statistics.median(r[side][0] for r in told) for side in (0, 1)]
    p95 = [statistics.median(r[side][1] for r in told) for side in (0, 1)]
    row = {"ours_s": wall[0], "theirs_s": wall[1], "ours_p95_s": p95[0], "theirs_p95_s": p95[1]}
    times, slow = statistics.median(r[1][0] / r[0][0] for r in told), statistics.median(r[0][1] / r[1][1] for r in told)
    return _rounded({**row, "times": times, "p95 ours ÷ theirs": slow, "rounds": len(took)})


def waiting(bench: Bench) -> Row:
    """How long one picture takes that is asked for behind somebody's sixteen ÷ alone."""
    ours = bench.ours
    found = [_behind_sixteen(ours) / _timed(lambda: ours.draw(ours.task(None)))[0] for _ in bench.rounds_of()]
    return _rounded({"times": statistics.median(found), "rounds": len(found)})


def _behind_sixteen(ours: Ours) -> float:
    """Seconds from asking for one picture, after some steps of another's sixteen, until it is there."""
    first, late, steps = ours.task(None, 16, owner="ada"), ours.task(None, owner="bob"), Counter[str]()
    asked_s = 0.0

    def on_step(job: str) -> None:
        nonlocal asked_s
        steps[job] += 1
        if job == first.job and steps[job] == 6:
            asked_s = time.perf_counter()
            ours.engine.scheduler.add(ours.engine._run_of(late))

    ours.on_step = on_step
    ours.draw(first)
    ours.on_step = lambda job: None
    return ours.ended_s[late.job] - asked_s


def training_share(ours: Ours, seconds: float = SHARE_S) -> Row:
    """Steps of a training while pictures always wait ÷ alone, in steps a second."""
    engine, steps = ours.engine, 0

    def count(job: str) -> None:
        nonlocal steps
        steps += job == "training"

    def rate(busy: bool) -> float:
        nonlocal steps
        steps, began_s = 0, time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            while busy and len(engine.scheduler._drawings) < 3:
                engine.scheduler.add(engine._run_of(ours.task(None)))
            for run in engine.scheduler.step():
                assert run.state != "failed", run.error
        return steps / (time.perf_counter() - began_s)

    ours.on_step = count
    with ours.beside_a_training():
        alone, beside = rate(busy=False), rate(busy=True)
    for run in [*engine.scheduler._drawings]:
        engine.scheduler.cancel(run.task.job)
    ours.on_step = lambda job: None
    return _rounded({"times": beside / alone})


def main() -> None:
    """Print a table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each row at most")
    parser.add_argument("--minutes", type=float, default=14.0, help="for all rows")
    parser.add_argument("--requests", type=int, default=16, help="in a burst of S7")
    parser.add_argument("--only", default="", help="rows whose names begin so, separated by commas")
    parser.add_argument("--model", default="toyworld")
    parser.add_argument("--precision", choices=("auto", "float32"), default="auto", help="of our passes")
    parser.add_argument("--their-precision", choices=("float32", "bfloat16"), default="float32", help="by autocast")
    parser.add_argument("--out", type=Path, help="file that rows are appended to, and whose rows count")
    given = parser.parse_args()
    if not KEEP_MEMORY.items() <= os.environ.items():  # glibc reads them once
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.bench.serving", *sys.argv[1:]], os.environ | KEEP_MEMORY
        )
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    disable_progress_bar()
    ends_s = time.monotonic() + 60 * given.minutes
    table: dict[str, Row] = {}
    if given.out and given.out.exists():
        table = {row.pop("row"): row for row in map(json.loads, given.out.read_text().splitlines())}
    with tempfile.TemporaryDirectory() as home:
        base = load_base(given.model)
        files = lora_files(base, Path(home), MANY)
        ours = Ours(Path(home), files, base, given.precision)
        theirs = Theirs(files, base, in_bfloat16=given.their_precision == "bfloat16")
        bench = Bench(ours, theirs, Path(home), given.rounds, given.requests)
        only = tuple(given.only.split(","))
        wanted = [row for row in rows(bench) if row[0] not in table and row[0].startswith(only)]
        for left, (name, measure) in zip(range(len(wanted), 0, -1), wanted, strict=True):
            bench.until_s = time.monotonic() + (ends_s - time.monotonic()) / left
            table[name] = measure()
            print(name, table[name], flush=True)  # noqa: T201
            if given.out:
                with given.out.open("a") as lines:
                    lines.write(json.dumps({"row": name, **table[name]}, ensure_ascii=False) + "\n")
    print(json.dumps({"ok": True, **table}, ensure_ascii=False))  # noqa: T201


if __name__ == "__main__":
    main()
