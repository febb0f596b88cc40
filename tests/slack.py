"""What the Slack tests share: a bot in this process or in one of its own, and jobs that end as a test wants."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from PIL import Image

from bot.app import Darkroom
from bot.on_slack import serve
from storage import queue
from storage.jobs import ImagineJob, Outcome, Picture, Progress, TrainJob, attempt_prefix, outcome_key
from storage.settings import Settings
from tests.conftest import Stack
from tests.servers import valkey
from tests.slack_server import Slack, SlackServer
from tests.slack_server.workspace import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET

READY_S = 30.0


@dataclass
class Scene:
    """A workspace, a deployment without workers, and the environment of a bot that serves one with the other."""

    slack: Slack
    app: Darkroom
    environment: dict[str, str]
    redis_url: str
    drawn: int = field(default=0)

    @property
    def server(self) -> SlackServer:
        """The workspace's server."""
        return self.slack.server

    @property
    def settings(self) -> Settings:
        """The settings of the bot."""
        return settings_of(self.environment)

    async def job(self, kind: type[TrainJob] | type[ImagineJob] = ImagineJob, nth: int = 0) -> TrainJob | ImagineJob:
        """Wait for an accepted job, the newest first."""
        async with asyncio.timeout(15):
            while True:
                jobs = [j for j in await self.app.dispatch.jobs("slack:T0TEAM") if isinstance(j, kind)]
                if len(jobs) > nth:
                    return jobs[nth]
                await asyncio.sleep(0.05)

    async def progress(self, job: str, step: int = 1, of: int = 10, **more: object) -> None:
        """Report progress as a worker does."""
        await queue.write_progress(self.app.redis, Progress(job=job, phase="drawing", step=step, of=of, **more))

    async def picture(self, job: str, caption: str = "a dog in Paris") -> Picture:
        """Put a small picture into the store."""
        self.drawn += 1
        buffer = io.BytesIO()
        Image.new("RGB", (32, 32), (self.drawn * 40 % 256, 90, 60)).save(buffer, "PNG")
        key = f"{attempt_prefix(job, '1')}{self.drawn}.png"
        await self.app.store.put(key, buffer.getvalue())
        return Picture(key=key, width_px=32, height_px=32, seed=self.drawn, caption=caption)

    async def finish(self, job: TrainJob | ImagineJob, pictures: int = 4, **more: object) -> Outcome:
        """End a job as a worker does."""
        drawn = tuple([await self.picture(job.id) for _ in range(pictures)])
        grid = await self.picture(job.id, "four dogs in Paris") if isinstance(job, ImagineJob) else None
        told = {"state": "done", "message": "Here they are.", "pictures": drawn, "grid": grid, "seconds": 2.0, **more}
        outcome = Outcome(job=job.id, **told)
        await self.app.store.put_new(outcome_key(job.id), outcome.model_dump_json().encode())
        return outcome

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[str]:
        """Run the bot in this process while the block runs; gives what it says when it is ready."""
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve(self.settings, self.redis_url, lambda text: said.done() or said.set_result(text))
        )
        try:
            await asyncio.wait({serving, said}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            yield said.result()
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving

    @asynccontextmanager
    async def process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run `darkroom slack` as a process of its own while the block runs; it is killed at the end of it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.cli", "slack"),
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        try:
            async with asyncio.timeout(READY_S):
                line = await process.stdout.readline()
            assert b"is on Slack" in line, (line + await process.stderr.read()).decode()
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.communicate()
            async for key in self.app.redis.scan_iter("darkroom:leader:*"):  # as if ten seconds were over
                await self.app.redis.delete(key)


def settings_of(environment: dict[str, str]) -> Settings:
    """The settings that a process with this environment has."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return Settings()


@pytest.fixture(scope="session")
def slack_queue() -> Iterator[str]:
    """A queue of the Slack tests' own: no worker takes their jobs but where a test wants one."""
    with valkey() as url:
        yield url


@pytest.fixture
async def workspace() -> AsyncIterator[Slack]:
    """A Slack workspace; a test that broke one of Slack's rules fails."""
    async with SlackServer() as server:
        slack = Slack(server)
        yield slack
    assert not slack.workspace.violations


def environment(server: SlackServer, stack_environment: dict[str, str]) -> dict[str, str]:
    """What the bot's process needs to know."""
    return {
        **stack_environment,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "SLACK_SIGNING_SECRET": SIGNING_SECRET,
        "SLACK_API_URL": server.api_url,
        "DARKROOM_SLACK_PORT": "0",
    }


@pytest.fixture
async def scene(workspace: Slack, slack_queue: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A workspace and a deployment whose jobs end as the test says."""
    home = tmp_path_factory.mktemp("slack")
    about = {"DARKROOM_HOME": str(home), "REDIS_URL": slack_queue, "DARKROOM_PHOTO_MIN_PX": "64"}
    given = environment(workspace.server, about)
    app = await Darkroom.open(settings_of(given), slack_queue)
    yield Scene(workspace, app, given, slack_queue)
    await app.redis.flushdb()
    await app.close()


@pytest.fixture
async def live(workspace: Slack, stack: Stack) -> AsyncIterator[Scene]:
    """The same with a real worker."""
    app = await Darkroom.open(stack.settings, stack.redis_url)
    yield Scene(workspace, app, environment(workspace.server, stack.environment), stack.redis_url)
    await app.close()
