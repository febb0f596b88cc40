"""`python -m tests.chaos [--faults N] [--seconds S] [--seed N] [--keep]`: mistreat a deployment, check it, report."""

import argparse
import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random, SystemRandom

from tests.chaos.checker import Checker, copies_left, quiet
from tests.chaos.faults import FAULTS, kill_worker
from tests.chaos.people import People
from tests.chaos.scene import Scene
from tests.micro import write_micro_model

FAULT_EVERY_S = 3.0
log = logging.getLogger("chaos")


class Pickups:
    """How long the jobs of killed workers waited for another one."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.times_s: list[float] = []
        self._waiting: dict[str, float] = {}

    async def watch(self) -> None:
        """Look at what workers report on, and for workers that have just been killed."""
        working: dict[str, tuple[int, set[str]]] = {}
        while True:
            for worker in self.scene.workers:
                pid, jobs = working.get(worker.name, (0, set()))
                if worker.process and not worker.alive and worker.process.returncode == -9 and pid:
                    self._waiting |= dict.fromkeys(jobs, time.monotonic())
                working[worker.name] = (worker.process.pid, worker.working_on) if worker.alive else (0, set())
                for job, since_s in list(self._waiting.items()):
                    if worker.alive and worker.relay.reports.get(job, 0) > since_s:
                        self.times_s.append(worker.relay.reports[job] - since_s)
                        del self._waiting[job]
            await asyncio.sleep(0.05)


async def run(faults: int, seconds: float, seed: int, folder: Path) -> dict[str, object]:
    """Run a deployment through so many faults, or so many seconds of them; return what the checker found."""
    chance, began_s = Random(seed), time.monotonic()
    scene = Scene(folder, write_micro_model(folder / "model"), Random(chance.random()))
    done: dict[str, int] = {}
    async with scene.running():
        people, pickups = People(scene, Random(chance.random())), Pickups(scene)
        asking = [asyncio.create_task(work) for work in (people.go_on(), pickups.watch())]
        await asyncio.sleep(10)
        lasting = []
        while sum(done.values()) < faults and time.monotonic() - began_s < seconds:
            fault = chance.choice(FAULTS)
            log.info("%s", fault.__name__)
            done[fault.__name__] = done.get(fault.__name__, 0) + 1
            lasting.append(asyncio.create_task(fault(scene, Random(chance.random()))))
            await asyncio.sleep(chance.expovariate(1 / FAULT_EVERY_S))
        results = await asyncio.gather(*lasting, return_exceptions=True)
        for task in asking:
            task.cancel()
        results += await asyncio.gather(*asking, return_exceptions=True)
        surprises = [r for r in results if isinstance(r, Exception)]
        people.look()
        log.info("waiting for quiet")
        lost = await quiet(scene)
        await scene.end_workers()
        checker = Checker(scene.store, scene.model)
        await checker.check()
        log.info("comparing")
        await checker.compare()
    states = [outcome.state for outcome in checker.outcomes.values()]
    times_s = sorted(pickups.times_s)
    return {
        "seed": seed,
        "faults": sum(done.values()),
        "by kind": done,
        "jobs seen accepted": len(people.accepted),
        "outcomes": {state: states.count(state) for state in sorted(set(states))},
        "lost": lost,
        "problems": checker.problems,
        "surprises": [repr(error) for error in surprises],
        "forgotten but cached": copies_left([worker.home for worker in scene.workers], people.forgotten),
        "workers started": sum(worker.starts for worker in scene.workers),
        "workers that did not end in time": scene.slow_ends,
        "trainings equal to undisturbed ones": checker.compared,
        "jobs of killed workers": len(times_s),
        "pickup after a kill, p50 (s)": round(times_s[len(times_s) // 2], 1) if times_s else None,
        "pickup after a kill, p99 (s)": round(times_s[len(times_s) * 99 // 100], 1) if times_s else None,
        "kills": done.get(kill_worker.__name__, 0),
        "seconds": round(time.monotonic() - began_s),
    }


def broken(report: dict[str, object]) -> bool:
    """Whether a promise was broken."""
    return any(report[name] for name in ("lost", "problems", "surprises", "workers that did not end in time"))


def main() -> None:
    """Run, print the report, exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3600, help="stop causing faults after so long")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000))
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and queue")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)8d %(name)s %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    log.info("seed %d", given.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    report = asyncio.run(run(given.faults, given.seconds, given.seed, folder))
    print(json.dumps(report, indent=1))  # noqa: T201
    if given.keep:
        log.info("everything is in %s", folder)
    else:
        shutil.rmtree(folder)
    sys.exit(broken(report))


if __name__ == "__main__":
    main()
