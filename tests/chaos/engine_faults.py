"""Faults of engines: they freeze, talk nonsense, and compute what is no number."""

import asyncio
import logging
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import torch
from safetensors.torch import load_file, save_file

from tests.chaos.people import ask
from tests.chaos.scene import LOADING_S, Scene
from tests.conftest import photos_of_a_character

LONGEST_S = 7.0
REFUSED_WITHIN_S = 240.0  # a model, by a worker that has to start first
log = logging.getLogger("chaos")


async def freeze_engine(scene: Scene, chance: Random) -> None:
    """The driver hangs: the engine neither answers nor ends. Its worker ends it once it wants something of it."""
    worker = chance.choice([w for w in scene.workers if w.working_on] or scene.workers)
    if not (engine := worker.engine()):
        return
    with suppress(psutil.Error):
        engine.suspend()
        for frozen_s in range(1, 2 * LOADING_S):
            await asyncio.sleep(1)
            if not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE:
                return log.info("the frozen engine of %s was ended after %d s", worker.name, frozen_s)
        assert not worker.working_on, f"{worker.name} waits for an engine that is frozen"
        engine.resume()


async def nonsense(scene: Scene, chance: Random) -> None:
    """Something else writes to the pipe of an engine, lines are torn, and losses are no numbers."""
    worker = chance.choice([w for w in scene.workers if w.working_on] or scene.workers)
    worker.noise.touch()
    await asyncio.sleep(chance.uniform(1, LONGEST_S))
    worker.noise.unlink(missing_ok=True)


async def diverge(scene: Scene, chance: Random) -> None:
    """Somebody asks for the highest learning rate there is."""
    if scene.chat.closing:
        return
    changes = "learning_rate=0.01 text_learning_rate=0.01 gradient_clip=100 warmup_steps=0"
    name, seed = f"hot{chance.randrange(10**6)}", chance.randrange(100)
    scene.names.append(name)
    await ask(
        scene.chat,
        "dreambooth train",
        photos_of_a_character(count=3, seed=seed),
        **{"name": name, "class": "dog", "steps": 60, "set": changes},
    )


async def broken_model(scene: Scene, chance: Random) -> None:
    """One more worker is started, whose base model has a weight that is no number: it takes no job, and says why."""
    if scene.under_way.count("broken_model") > 1:  # each loads PyTorch, and others need the processor, too
        return
    folder = scene.folder / f"broken-{chance.randrange(10**6)}"
    _spoil(shutil.copytree(scene.model, folder / "model"))
    environment = scene.workers[0].environment | {
        "DARKROOM_HOME": str(folder),
        "DARKROOM_BASE_MODEL": str(folder / "model"),
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trainer"), env=environment, stdout=out, stderr=out
        )
    try:
        code = await asyncio.wait_for(process.wait(), REFUSED_WITHIN_S)
    except TimeoutError:
        process.send_signal(signal.SIGKILL)
        code = await process.wait()
    said = log.read_text()
    assert code == 1 and "ready on" not in said, f"a worker served with a broken model: {said[-500:]}"


def _spoil(model: Path) -> None:
    file = next((model / "unet").glob("*.safetensors"))
    weights = load_file(file)
    next(iter(weights.values())).view(-1)[0] = torch.nan
    save_file(weights, file, {"format": "pt"})
