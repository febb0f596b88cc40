"""One chaos run: a deployment, so many faults, and what became of everything."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from storage.lifecycle.garbage_collection import GarbageCollector
from tests.chaos.catalogue import Fault, possible
from tests.chaos.checker import Checker, copies_left
from tests.chaos.faults import end_worker_process
from tests.chaos.final_messages import told_twice
from tests.chaos.idle import quiet
from tests.chaos.leftovers import folders_left, logs_tell, processes_left
from tests.chaos.people import People
from tests.chaos.pickups import Pickups, percentile
from tests.chaos.repair import mend, touches
from tests.chaos.scene import Kind, Scene
from tests.servers.backing import SECRET
from tests.support.micro_models import write_micro_model

CLEAN_WITHIN_S = 60.0  # workers clean their caches every 15 s
Report = dict[str, object]
log = logging.getLogger("chaos")


async def run(
    faults: int,
    seconds: float,
    seed: int,
    folder: Path,
    workers: int = 3,
    kinds: Sequence[Fault] = (),
    steps: tuple[int, int] = (50, 300),
    every_s: float = 2.5,
    store: Kind = "s3",
) -> Report:
    """Run a deployment through so many faults, or so many seconds of them; return what the checker found.

    `steps` has a training at least and at most; there are a fault and a request `every_s` on the average.
    """
    chance, began_s = Random(seed), time.monotonic()
    scene = Scene(folder, write_micro_model(folder / "model"), Random(chance.random()), workers, store=store)
    async with scene.running():
        people, pickups = People(scene, Random(chance.random()), steps, every_s), Pickups(scene)
        asking = [asyncio.create_task(work) for work in (people.go_on(), pickups.watch())]
        await scene.workers_ready()
        done, surprises = await _mistreat(scene, chance, kinds or possible(store), faults, seconds, every_s)
        for task in asking:
            task.cancel()
        results = await asyncio.gather(*asking, return_exceptions=True)
        surprises += [repr(result) for result in results if isinstance(result, Exception)]
        people.look()
        log.info("waiting for quiet")
        scene.finish_upgrade()
        lost, slow = await quiet(scene)
        checker = Checker(scene.store, scene.model)
        checker.problems += await mend(scene)
        copies = await still_cached(scene)
        await scene.end_workers()
        left = await _check(scene, checker, [*people.accepted, *scene.asked])
        log.info("comparing")
        await checker.compare(scene.damaged | scene.touched)
    return {
        "seed": seed,
        "store": store,
        "faults": done.total(),
        "by kind": dict(done),
        "lost": lost,
        "slow": slow,
        "problems": [each for each in checker.problems if not touches(scene, each)],
        "about what was damaged": [each for each in checker.problems if touches(scene, each)],
        "surprises": surprises,
        "forgotten but cached": copies,
        "workers that did not end in time": scene.slow_ends,
        "left by crashes for the sweep": dict(left),
        "stale entries of indexes": len(checker.stale_entries),
        "objects damaged": sorted(scene.damaged),
        "jobs of bots that were killed": len(scene.asked),
        "jobs seen accepted": len(people.accepted),
        "workers started": sum(worker.starts for worker in scene.workers),
        **_of_jobs(checker),
        **_of_pickups(pickups),
        "seconds": round(time.monotonic() - began_s),
    }


async def _mistreat(
    scene: Scene, chance: Random, kinds: Sequence[Fault], faults: int, seconds: float, every_s: float
) -> tuple[Counter[str], list[str]]:
    """Cause faults, and wait until all are over; return how many of each kind, and what they did not expect."""
    done, lasting, began_s = Counter[str](), [], time.monotonic()
    while done.total() < faults and time.monotonic() - began_s < seconds:
        fault = chance.choice(kinds)
        done[fault.__name__] += 1
        lasting.append(asyncio.create_task(cause(fault, scene, Random(chance.random()))))
        await asyncio.sleep(chance.expovariate(1 / every_s))
    results = await asyncio.gather(*lasting, return_exceptions=True)
    return done, [repr(result) for result in results if isinstance(result, Exception)]


async def cause(fault: Fault, scene: Scene, chance: Random) -> None:
    """Cause a fault, and wait until it is over."""
    log.info("%s", fault.__name__)
    scene.under_way.append(fault.__name__)
    try:
        await fault(scene, chance)
    finally:
        scene.under_way.remove(fault.__name__)


async def still_cached(scene: Scene) -> list[str]:
    """Files of what was forgotten that workers still have after they had time to look.

    What a Redis that was emptied since was to tell them, they find out when they start, or in a quarter of an hour.
    """
    copies = await _cached_later(scene)
    if copies and scene.redis_emptied:
        await asyncio.gather(*(end_worker_process(scene, worker) for worker in scene.workers))
        await scene.workers_ready()
        copies = await _cached_later(scene)
    return copies


async def _cached_later(scene: Scene) -> list[str]:
    until_s, homes = time.monotonic() + CLEAN_WITHIN_S, [worker.home for worker in scene.workers]
    while True:
        copies = await copies_left(scene.store, homes)
        if not copies or time.monotonic() > until_s:
            return copies
        await asyncio.sleep(1)


async def _check(scene: Scene, checker: Checker, accepted: Sequence[str]) -> Counter[str]:
    """Look at everything, once the workers have ended; return what was left to the sweep."""
    left = await checker.left_to_sweep()
    await GarbageCollector(scene.store, older_s=0).sweep()
    await checker.check(accepted)
    checker.problems += told_twice(scene.witnesses)
    checker.problems += folders_left(worker.home for worker in scene.workers)
    logs = [*(worker.log for worker in scene.workers), scene.bot_log, scene.folder / "bots.log"]
    checker.problems += logs_tell(logs, [SECRET])
    checker.problems += processes_left(scene.model)
    return left


def _of_jobs(checker: Checker) -> Report:
    outcomes = checker.outcomes.values()
    return {
        "outcomes": dict(Counter(outcome.state for outcome in outcomes)),
        "failed": [f"{outcome.message} {outcome.detail}" for outcome in outcomes if outcome.state == "failed"],
        "trainings equal to undisturbed ones": checker.compared,
    }


def _of_pickups(pickups: Pickups) -> Report:
    times_s, alone_s, again_s = pickups.times_s(), pickups.alone_s(), pickups.resuming_s()
    return {
        "jobs of killed workers": len(times_s),
        "pickup after a kill, p50 and p99 (s)": (percentile(times_s, 0.5), percentile(times_s, 0.99)),
        "of them with nothing else wrong": len(alone_s),
        "pickup by a free worker, p50 and p99 (s)": (percentile(alone_s, 0.5), percentile(alone_s, 0.99)),
        "from pickup until as far again, p50 and p99 (s)": (percentile(again_s, 0.5), percentile(again_s, 0.99)),
    }


def broken(report: Report) -> bool:
    """Whether a promise was broken."""
    promises = ("lost", "problems", "surprises", "forgotten but cached", "workers that did not end in time")
    return any(report[name] for name in promises)
