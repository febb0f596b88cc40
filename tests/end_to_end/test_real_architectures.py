"""Chat to pictures on the architectures of real base models: SDXL from a hub, an SD 2 in a single file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.app import Darkroom
from bot.core.messages import Reply
from storage.contract.subjects import Subject
from tests.conftest import Chat, Stack, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import valkey
from tests.servers.hub import hub_server
from tests.support.single_file_models import write_single

pytestmark = pytest.mark.timeout(480)


def deployment(home: Path, **environment: str) -> Iterator[Stack]:
    with valkey() as url:
        settings = {"DARKROOM_HOME": str(home), "REDIS_URL": url, "DARKROOM_PHOTO_MIN_PX": "64", "OMP_NUM_THREADS": "1"}
        worker = start_worker({**settings, **environment})
        yield Stack({**settings, **environment}, url, home, worker)
        stop_worker(worker)


@pytest.fixture
def sdxl_of_the_hub(tmp_path: Path, micro_sdxl: Path) -> Iterator[tuple[Stack, str]]:
    with hub_server() as hub:
        commit = hub.add("org/sdxl", micro_sdxl)
        environment = {"DARKROOM_BASE_MODEL": "org/sdxl", "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        for stack in deployment(tmp_path / "home", **environment):
            yield stack, commit


@pytest.fixture
def sd2_in_a_file(tmp_path: Path, micro_sd2: Path) -> Iterator[Stack]:
    path = write_single(micro_sd2, tmp_path / "it.safetensors")
    yield from deployment(tmp_path / "home", DARKROOM_BASE_MODEL=str(path))


async def journey(stack: Stack, **how: Any) -> tuple[Subject, Reply]:
    """Have a subject learned and drawn; return its record and the last reply."""
    app = await Darkroom.open(stack.settings, stack.redis_url)
    try:
        chat = Chat(app)
        *_, learned = await chat("dreambooth train", photos_of_a_character(), name="rex", noun="dog", steps=3, **how)
        assert learned.state == "done", learned.text
        *_, drawn = await chat("imagine", prompt="a [rex] dog in Paris", count=2, steps=2)
        subject = await app.subjects.find("local", "rex")
        assert subject
        return subject, drawn
    finally:
        await app.close()


@pytest.mark.exhaustive
async def test_sdxl_from_the_hub_learns_in_full_and_draws(sdxl_of_the_hub: tuple[Stack, str]) -> None:
    stack, commit = sdxl_of_the_hub
    subject, drawn = await journey(stack, method="full")
    assert (subject.base_model, subject.base_revision) == ("org/sdxl", commit) and subject.base_sha256
    assert drawn.state == "done" and len(drawn.pictures) == 2 and len(subject.samples) > 0


@pytest.mark.exhaustive
async def test_a_velocity_model_in_a_single_file_learns_by_lora_and_draws(sd2_in_a_file: Stack) -> None:
    subject, drawn = await journey(sd2_in_a_file, method="lora")
    assert subject.base_revision in {path.name for path in (sd2_in_a_file.home / "models").iterdir()}
    assert drawn.state == "done" and len(drawn.pictures) == 2


@pytest.mark.slow
def test_a_worker_says_what_is_wrong_with_its_model(tmp_path: Path, micro_sd2: Path) -> None:
    path = write_single(micro_sd2, tmp_path / "it.safetensors", without="first_stage_model.")
    with valkey() as url:
        told = {"DARKROOM_HOME": str(tmp_path / "home"), "REDIS_URL": url, "DARKROOM_BASE_MODEL": str(path)}
        command = [sys.executable, "-m", "trainer"]
        ended = subprocess.run(command, env={**os.environ, **told}, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"The base model {path} has no VAE in it."
