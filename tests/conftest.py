"""What tests share: real servers, a micro model, and a whole deployment with a real worker process."""

import gc
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from arq.connections import ArqRedis
from hypothesis import HealthCheck, settings

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from bot.photos.uploads import Upload
from storage.queue import broker
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.servers.backing import valkey
from trainer import threads  # which sets OpenMP's environment before any test imports PyTorch

if TYPE_CHECKING:
    from trainer.models.base import BaseModel  # which takes seconds to import: not every test needs it

pytest_plugins = ["tests.support.stores", "tests.support.discord_bot", "tests.support.slack_bot"]

ROOT = Path(__file__).parents[1]
# What takes seconds to start and lasts as long as the tests, and what files that need it have in them. One process has
# it, and takes those files; where that is guessed wrongly, another process starts it as well.
STARTED_ONCE = {
    "stack": r"^(?!.*def (app|chat)\().*(stack: Stack|def test_\w+\([^)]*\b(chat: Chat|app: Darkroom|asked: Chat))",
    "browser": r"from playwright",
    "s3_server": r"bucket|s3_server",
}


def pytest_configure(config: pytest.Config) -> None:
    """What processes under test inherit of us, and how many examples Hypothesis tries.

    They hear Ctrl-C even where a shell in the background ignores it, and one thread each has them not wait for each
    other; it also adds up the same wherever it runs.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threads.set_up()
    os.environ["OMP_NUM_THREADS"] = "1"
    patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    # The same examples each time, so that a change fails by what it changes; `make exhaustive` looks for new ones.
    settings.register_profile("quick", max_examples=10, derandomize=True, **patient)
    settings.register_profile("whole", **patient)
    settings.load_profile("quick" if "not exhaustive" in config.option.markexpr else "whole")


def pytest_collection() -> None:
    """Look for no garbage while modules are imported, and later not in what they brought: that costs many seconds."""
    gc.disable()


def pytest_collection_finish() -> None:
    """See `pytest_collection`."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


@cache
def group_of(file: str) -> str:
    """The tests that one process should have together, by their file: it, or those that need the same server."""
    text = (ROOT / file).read_text()
    return next((server for server, needs in STARTED_ONCE.items() if re.search(needs, text, re.DOTALL)), file)


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what may take long, so that processes which share the tests end at about the same time."""
    longest_s = dict.fromkeys((file_of(item.nodeid) for item in items), 0.0)
    for item in items:
        if mark := item.get_closest_marker("timeout"):
            longest_s[file_of(item.nodeid)] = max(longest_s[file_of(item.nodeid)], mark.args[0])
    of_servers = {file: group_of(file) in STARTED_ONCE for file in longest_s}
    items.sort(key=lambda item: (not of_servers[file_of(item.nodeid)], -longest_s[file_of(item.nodeid)]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile` a process takes one group of tests after another."""
    from xdist.scheduler import LoadFileScheduling

    class ByGroup(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(file_of(nodeid))

    return ByGroup(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """URL of a Valkey whose data is of one test at a time; a test that changes its settings changes them back."""
    with valkey() as url:
        yield url


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[ArqRedis]:
    """A queue of this test's own, empty."""
    connection = await broker.connect(redis_server)
    await connection.flushall()
    yield connection
    await connection.aclose()


@dataclass(frozen=True)
class Stack:
    """A deployment: queue, folder store and, by `worker`, a living worker process with the micro model."""

    environment: dict[str, str]
    redis_url: str
    home: Path
    worker: "subprocess.Popen[str]"

    @property
    def settings(self) -> BotSettings:
        """The settings that all processes of the deployment have."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return load_settings(BotSettings)


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.micro_models import write_micro_model

    return write_micro_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def base(micro_model: Path) -> "BaseModel":
    """The micro model, loaded."""
    from trainer.models.base import load_base

    return load_base(str(micro_model))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos of a character, in files."""
    folder = tmp_path_factory.mktemp("photos")
    for upload in photos_of_a_character():
        (folder / upload.name).write_bytes(upload.data)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def micro_sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.micro_models import write_micro_sd1

    return write_micro_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="session")
def micro_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.micro_models import write_micro_sd2

    return write_micro_sd2(tmp_path_factory.mktemp("sd2"))


@pytest.fixture(scope="session")
def micro_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.micro_models import write_micro_sdxl

    return write_micro_sdxl(tmp_path_factory.mktemp("sdxl"))


def start_worker(environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a worker process and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if "ready on" in line:
                return process
        raise RuntimeError(f"the worker did not start: {''.join(said)}")
    except BaseException:  # a test that gives up waiting leaves neither a process nor an open pipe behind
        process.kill()
        process.communicate()
        raise


def stop_worker(process: "subprocess.Popen[str]") -> str:
    """Stop a worker as an operator would; return what else it logged."""
    process.terminate()
    _, said = process.communicate(timeout=180)
    return said


@pytest.fixture(scope="session")
def stack(micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("home")
    with valkey() as url:
        environment = {
            "DARKROOM_HOME": str(home),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(micro_model),
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_REQUESTS_PER_MINUTE": "1000",
        }
        worker = start_worker(environment)
        yield Stack(environment, url, home, worker)
        stop_worker(worker)


@pytest.fixture
async def app(stack: Stack) -> AsyncIterator[Darkroom]:
    darkroom = await Darkroom.open(stack.settings, stack.redis_url)
    yield darkroom
    await darkroom.close()


CALLED = {"noun": "class", "audience": "with"}  # arguments whose names are words of Python's own


class Chat:
    """Types commands like a person: `await chat("imagine", prompt="a dog")` returns all replies."""

    def __init__(self, app: Darkroom, space: str = "local", user: str = "you", **who: Any) -> None:
        self.app, self.space, self.user, self.who = app, space, user, who

    def by(self, user: str, **who: Any) -> "Chat":
        """The same space as another person sees it: their channel, groups, rights."""
        return Chat(self.app, self.space, user, **who)

    async def __call__(self, command: str, uploads: tuple[Upload, ...] = (), **arguments: object) -> list[Reply]:
        request = Request(
            space=self.space,
            user=self.user,
            command=command,
            uploads=uploads,
            arguments={CALLED.get(k, k): str(v) for k, v in arguments.items()},
            **{"confirmed": True, **self.who},
        )
        return [reply async for reply in self.app.answer_to_end(request)]


@pytest.fixture
def chat(app: Darkroom, request: pytest.FixtureRequest) -> Chat:
    """A chat in a space of this test's own."""
    return Chat(app, space=request.node.nodeid)


@cache
def photos_of_a_character(count: int = 4, seed: int = 3) -> tuple[Upload, ...]:
    """Photos as a person would send them: drawn by Toyworld, each in another place."""
    from research.toyworld.scenes import character
    from trainer.toyworld.words import PLACES

    uploads = []
    for k in range(count):
        buffer = io.BytesIO()
        character(seed, "dog").photo(Random(k), PLACES[k], size_px=128).save(buffer, "PNG")
        uploads.append(Upload(name=f"rex-{k + 1}.png", data=buffer.getvalue()))
    return tuple(uploads)
