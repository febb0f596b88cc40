"""Faults of bots and versions: killed once a job is accepted and before anybody heard it; an upgrade on the way."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

from storage.contract.jobs import job_key
from storage.errors import StoreError
from storage.lifecycle.job_index import JobIndex
from tests.chaos.faults import end_worker_process
from tests.chaos.next_version import HERE
from tests.chaos.scene import Scene

ACCEPTS_WITHIN_S = 90.0  # from the start of its process
LOOK_S = 0.02


async def kill_bot(scene: Scene, chance: Random) -> None:
    """A bot dies, by SIGKILL, between the acceptance of a job and its acknowledgement."""
    await _asked_and_killed(scene, chance, HERE)


async def kill_next_bot(scene: Scene, chance: Random) -> None:
    """The same befalls a bot of the next version, whose job workers of this one leave to those of the next."""
    await _asked_and_killed(scene, chance, scene.next_tree)


async def upgrade_worker(scene: Scene, chance: Random) -> None:
    """A worker goes on as one of the next version, or back."""
    worker = chance.choice(scene.workers)
    worker.tree = HERE if worker.tree == scene.next_tree else scene.next_tree
    await end_worker_process(scene, worker)


async def _asked_and_killed(scene: Scene, chance: Random, tree: Path) -> None:
    mark, home = f"a dog in room {chance.randrange(10**9)}", scene.folder / f"bot-{chance.randrange(10**9)}"
    before = await _open_jobs(scene)
    environment = {**os.environ, **scene.bot_environment, "DARKROOM_HOME": str(home)}
    command = (sys.executable, "-m", "bot.cli.main", "imagine", mark, "--count", "1", "--steps", "2")
    with (scene.folder / "bots.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=tree, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(ACCEPTS_WITHIN_S):
            while process.returncode is None:
                if job := await _accepted(scene, mark, before):
                    scene.asked.append(job)
                    await asyncio.sleep(chance.choice((0.0, chance.uniform(0, 0.3))))
                    break
                await asyncio.sleep(LOOK_S)
    except TimeoutError:  # store or queue were away, or the machine is busy
        pass
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _open_jobs(scene: Scene) -> set[str]:
    return set(await JobIndex(scene.store).open_jobs())


async def _accepted(scene: Scene, mark: str, before: set[str]) -> str:
    """The job that a bot has accepted, which says the mark; empty if it has not yet."""
    for job in await _open_jobs(scene) - before:
        with suppress(StoreError):  # the index is first
            if mark.encode() in (await scene.store.get(job_key(job))).data:
                return job
            before.add(job)
    return ""
