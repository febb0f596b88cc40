"""Memory that runs out in one of two engines: all leave the training, and the worker has them do it with less."""

import json
import resource
import shutil
from pathlib import Path

import psutil
import pytest

from bot.app import Darkroom
from storage.settings.bot import BotSettings
from tests.conftest import Chat, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import valkey
from tests.support.micro_models import RECIPE
from tests.trainer.memory.test_oom import TRAINING_SPARE_BYTES
from tests.trainer.memory.test_oom import model as model  # fixture
from trainer.engine.engine import SHORT
from trainer.out_of_memory import SIGNS

LARGE = {**RECIPE, "batch": 16, "steps": 2, "class_images": 1, "report_card": False}  # each of two has half


@pytest.mark.exhaustive
@pytest.mark.timeout(480)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs")
async def test_a_training_that_is_too_much_for_one_of_two_is_done_with_less(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "darkroom.json").write_text(json.dumps({"recipe": LARGE}))
    with valkey() as url:
        environment = {
            "DARKROOM_HOME": str(tmp_path / "home"),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(tmp_path / "model"),
            "DARKROOM_GPUS_PER_TRAINING": "2",
            "DARKROOM_PHOTO_MIN_PX": "64",
        }
        worker, app = start_worker(environment), await Darkroom.open(BotSettings(**environment), url)
        try:
            engines = psutil.Process(worker.pid).children(recursive=True)
            (follower,) = (process for process in engines if process.environ().get("RANK") == "1")
            most_bytes = follower.memory_info().vms + TRAINING_SPARE_BYTES
            resource.prlimit(follower.pid, resource.RLIMIT_AS, (most_bytes, resource.RLIM_INFINITY))
            reply = (await Chat(app)("dreambooth train", photos_of_a_character(2), name="rex", noun="dog"))[-1]
            outcome = await app.dispatch.outcome(str(reply.job))
        finally:
            await app.close()
            said = stop_worker(worker)
    assert reply.state == "done", reply.text
    assert outcome and outcome.detail == SHORT
    assert "failed in engine 1" in said and any(sign in said.lower() for sign in SIGNS)
    assert said.count("is tried again") == 1
    assert not follower.is_running()
