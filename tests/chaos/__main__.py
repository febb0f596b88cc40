"""`python -m tests.chaos [--faults N] [--seconds S] [--seed N] [--only FAULT…]`: mistreat a deployment; check it."""

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom

from storage.sweeping import Sweeper
from tests.chaos.checker import Checker, copies_left, quiet
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.people import People
from tests.chaos.pickups import Pickups, percentile
from tests.chaos.scene import Scene
from tests.chaos.told import told_twice
from tests.micro import write_micro_model

CLEAN_WITHIN_S = 60.0  # workers clean their caches every 15 s
log = logging.getLogger("chaos")


async def run(
    faults: int,
    seconds: float,
    seed: int,
    folder: Path,
    workers: int = 3,
    kinds: Sequence[Fault] = FAULTS,
    steps: tuple[int, int] = (50, 300),
    every_s: float = 2.5,
) -> dict[str, object]:
    """Run a deployment through so many faults, or so many seconds of them; return what the checker found.

    `steps` has a training at least and at most; there are a fault and a request `every_s` on the average.
    """
    chance, began_s = Random(seed), time.monotonic()
    scene = Scene(folder, write_micro_model(folder / "model"), Random(chance.random()), workers)
    done: Counter[str] = Counter()
    async with scene.running():
        people, pickups = People(scene, Random(chance.random()), steps, every_s), Pickups(scene)
        asking = [asyncio.create_task(work) for work in (people.go_on(), pickups.watch())]
        await scene.workers_ready()
        lasting, faults_s = [], time.monotonic()
        while done.total() < faults and time.monotonic() - faults_s < seconds:
            fault = chance.choice(kinds)
            done[fault.__name__] += 1
            lasting.append(asyncio.create_task(cause(fault, scene, Random(chance.random()))))
            await asyncio.sleep(chance.expovariate(1 / every_s))
        results = await asyncio.gather(*lasting, return_exceptions=True)
        for task in asking:
            task.cancel()
        results += await asyncio.gather(*asking, return_exceptions=True)
        surprises = [r for r in results if isinstance(r, Exception)]
        people.look()
        log.info("waiting for quiet")
        lost = await quiet(scene)
        copies = await still_cached(scene)
        await scene.end_workers()
        checker = Checker(scene.store, scene.model)
        left = await checker.left_to_sweep()
        await Sweeper(scene.store, older_s=0).sweep()
        await checker.check(people.accepted)
        checker.problems += told_twice(scene.witnesses)
        log.info("comparing")
        await checker.compare()
    states = Counter(outcome.state for outcome in checker.outcomes.values())
    times_s, alone_s, again_s = pickups.times_s(), pickups.alone_s(), pickups.resuming_s()
    return {
        "seed": seed,
        "faults": done.total(),
        "by kind": dict(done),
        "jobs seen accepted": len(people.accepted),
        "outcomes": dict(states),
        "lost": lost,
        "problems": checker.problems,
        "surprises": [repr(error) for error in surprises],
        "failed": [
            f"{outcome.message} {outcome.detail}" for outcome in checker.outcomes.values() if outcome.state == "failed"
        ],
        "forgotten but cached": copies,
        "left by crashes for the sweep": dict(left),
        "workers started": sum(worker.starts for worker in scene.workers),
        "workers that did not end in time": scene.slow_ends,
        "trainings equal to undisturbed ones": checker.compared,
        "jobs of killed workers": len(times_s),
        "pickup after a kill, p50 and p99 (s)": (percentile(times_s, 0.5), percentile(times_s, 0.99)),
        "of them with nothing else wrong": len(alone_s),
        "pickup by a free worker, p50 and p99 (s)": (percentile(alone_s, 0.5), percentile(alone_s, 0.99)),
        "from pickup until as far again, p50 and p99 (s)": (percentile(again_s, 0.5), percentile(again_s, 0.99)),
        "seconds": round(time.monotonic() - began_s),
    }


async def still_cached(scene: Scene) -> list[str]:
    """Files of what was forgotten that workers still have after they had time to look."""
    until_s, homes = time.monotonic() + CLEAN_WITHIN_S, [worker.home for worker in scene.workers]
    while True:
        copies = await copies_left(scene.store, homes)
        if not copies or time.monotonic() > until_s:
            return copies
        await asyncio.sleep(1)


async def cause(fault: Fault, scene: Scene, chance: Random) -> None:
    """Cause a fault, and wait until it is over."""
    log.info("%s", fault.__name__)
    scene.under_way.append(fault.__name__)
    try:
        await fault(scene, chance)
    finally:
        scene.under_way.remove(fault.__name__)


def broken(report: dict[str, object]) -> bool:
    """Whether a promise was broken."""
    promises = ("lost", "problems", "surprises", "forgotten but cached", "workers that did not end in time")
    return any(report[name] for name in promises)


def main() -> None:
    """Run, print the report, exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3600, help="stop causing faults after so long")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000))
    parser.add_argument("--only", nargs="+", default=[f.__name__ for f in FAULTS], help="kinds of faults to cause")
    parser.add_argument(
        "--every", type=float, default=2.5, help="seconds between two faults, and requests, on the average"
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and queue")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)8d %(name)s %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    log.info("seed %d", given.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    kinds = [fault for fault in FAULTS if fault.__name__ in given.only]
    report = asyncio.run(run(given.faults, given.seconds, given.seed, folder, kinds=kinds, every_s=given.every))
    print(json.dumps(report, indent=1))  # noqa: T201
    if given.keep:
        log.info("everything is in %s", folder)
    else:
        shutil.rmtree(folder)
    sys.exit(broken(report))


if __name__ == "__main__":
    main()
