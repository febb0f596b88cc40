"""Training and drawing alone and beside one busy process: `python -m tests.bench.neighbour`.

Two processes hold Toyworld, one whose threads sleep at barriers, as ours do, and one whose threads spin for some
milliseconds first, as GCC's OpenMP has it by default. They work in turns, each once alone and once beside a busy
process, so that all meet the same weather.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# ACTIVE would not do: its idle threads spin between turns as well, beside those that are measured.
KINDS = {"sleeping": {"OMP_WAIT_POLICY": "PASSIVE"}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
ROUNDS, STEPS = 7, 10


def work(folder: Path) -> dict[str, Callable[[], object]]:
    """What is timed: some steps of a training, and four pictures."""
    from tests.conftest import photos_of_a_character
    from trainer.diffusion import sampling
    from trainer.dreambooth.dataset import SubjectSpec
    from trainer.dreambooth.train import Training
    from trainer.models.base import load_base
    from trainer.models.default_recipe import recipe_for

    for upload in photos_of_a_character():
        (folder / upload.name).write_bytes(upload.data)
    base = load_base("toyworld")
    how = recipe_for(base.folder, steps=4000, prior_weight=0)
    training = Training(base, [(SubjectSpec(sorted(folder.iterdir()), "dog", "zuf"), None)], how, seed=0)

    def steps() -> None:
        for _ in range(STEPS):
            training.step()

    def pictures() -> None:
        list(sampling.draw(base, base.denoiser, "a dog in Paris", [1, 2, 3, 4], steps=15, guidance=4.0))

    return {f"{STEPS} steps": steps, "four pictures": pictures}


def serve() -> None:
    """Do what is asked for by name, a line each, and say how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        doing = work(Path(folder))
        for each in doing.values():
            each()
        print("ready", flush=True)  # noqa: T201
        for line in sys.stdin:
            began_s = time.perf_counter()
            doing[line.strip()]()
            print(time.perf_counter() - began_s, flush=True)  # noqa: T201


def main() -> None:
    """Time both kinds in turns; print medians in seconds, and how much longer it takes beside a busy process."""
    threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    pipes = {
        kind: subprocess.Popen(
            [sys.executable, "-m", "tests.bench.neighbour", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | policy,
        )
        for kind, policy in KINDS.items()
    }

    def took_s(kind: str, what: str) -> float:
        stdin, stdout = pipes[kind].stdin, pipes[kind].stdout
        assert stdin and stdout
        stdin.write(f"{what}\n")
        stdin.flush()
        return float(stdout.readline())

    for pipe in pipes.values():
        assert pipe.stdout and pipe.stdout.readline() == "ready\n"
    found: dict[tuple[str, str, bool], list[float]] = {}
    for _ in range(ROUNDS):
        for busy in (False, True):
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            for kind in KINDS:
                for what in (f"{STEPS} steps", "four pictures"):
                    found.setdefault((kind, what, busy), []).append(took_s(kind, what))
            if neighbour:
                neighbour.kill()
                neighbour.wait()
    for pipe in pipes.values():
        pipe.terminate()
    medians = {key: statistics.median(times) for key, times in found.items()}
    told = {
        f"{what}, threads {kind}": {
            "alone_s": round(medians[kind, what, False], 2),
            "beside_one_s": round(medians[kind, what, True], 2),
            "ratio": round(medians[kind, what, True] / medians[kind, what, False], 2),
        }
        for kind, what, busy in medians
        if busy
    }
    print(json.dumps(told, indent=1))  # noqa: T201


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
