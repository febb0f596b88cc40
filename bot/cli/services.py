"""What runs until it is stopped: the web chat, a worker, and everything together."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import typer
from rich.console import Console

from bot.connectors.terminal.screen import Screen
from bot.connectors.web.connector import NEXT_PORTS, opened, running
from bot.local.children import Child, until_stopped
from bot.local.stack import Stack
from storage.errors import SetupError
from storage.kinds import KINDS
from storage.logs import log_to
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from storage.text import listed, visible

Service = Callable[[BotSettings], Coroutine[Any, Any, None]]
Chat = Callable[[BotSettings, str, Callable[[str], None]], Coroutine[Any, Any, None]]  # settings, queue, to say "ready"


def run(service: Service) -> int:
    """Run a service until Ctrl-C or SIGTERM, which end it well; return the exit status."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    log_to(None, logging.WARNING, "%(asctime)s %(name)s %(message)s")
    try:
        asyncio.run(until_stopped(service(load_settings(BotSettings))))
    except SetupError as error:
        console.print(visible(str(error)), markup=False)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped.")
    return 0


async def web(settings: BotSettings) -> None:
    """Serve the web chat; queue and store must be there, workers may come and go."""
    async with Stack(settings, _say, stays=True) as stack, opened(settings, stack.redis_url) as url:
        _announce(f"Darkroom's web chat: {url}")
        # The page is served by the context around; this only ends by cancellation.
        await asyncio.Event().wait()


async def discord(settings: BotSettings) -> None:
    """Serve Discord; raises SetupError if it is not configured."""
    if not settings.discord_token:
        raise SetupError("DISCORD_TOKEN is not set. docs/discord.md says where the token comes from.")
    async with Stack(settings, _say, stays=True) as stack:
        await chats(settings)["Discord"](settings, stack.redis_url, _announce)


async def slack(settings: BotSettings) -> None:
    """Serve Slack; raises SetupError if it is not configured."""
    if not settings.slack_bot_token:
        raise SetupError("SLACK_BOT_TOKEN is not set. docs/slack.md says where the token comes from.")
    async with Stack(settings, _say, stays=True) as stack:
        await chats(settings)["Slack"](settings, stack.redis_url, _announce)


def chats(settings: BotSettings) -> dict[str, Chat]:
    """The chats that are configured, each with what serves it. Their libraries are imported only then."""
    configured: dict[str, Chat] = {}
    if settings.discord_token:
        from bot.connectors.discord.connector import serve as serve_discord

        configured["Discord"] = serve_discord
    if settings.slack_bot_token:
        from bot.connectors.slack.connector import serve as serve_slack

        configured["Slack"] = serve_slack
    return configured


async def up(settings: BotSettings) -> None:
    """Run all that is configured."""
    await _everything(settings, _up, chats(settings).values())


async def up_without_worker(settings: BotSettings) -> None:
    """Run the chats that are configured and the web chat; workers are elsewhere."""
    await _everything(settings, _up, chats(settings).values(), worker=False)


async def demo(settings: BotSettings) -> None:
    """Run everything, and say what to do with it; where it runs already, say where."""
    if url := await running(settings):
        _announce(f"Darkroom runs here already: {url}")
        return
    samples = files("bot") / "samples"
    await _everything(
        settings,
        lambda url: (
            f"Darkroom is ready: {url}\n\n"
            "Drop three to six photos of your dog, mug or mascot on that page and give it a name.\n"
            f"No photos at hand? Take the ones in {samples}.\n"
            f"What is learned stays in {settings.store_url}. Ctrl-C stops everything."
        ),
        ports=NEXT_PORTS,
    )


def _up(url: str) -> str:
    return f"Darkroom is up: {url}"


async def _everything(
    settings: BotSettings,
    welcome: Callable[[str], str],
    serving: Iterable[Chat] = (),
    worker: bool = True,
    ports: int = 1,
) -> None:
    async with Stack(settings, _say, stays=True) as stack, opened(settings, stack.redis_url, ports) as url:
        if worker:
            with Screen() as screen:
                screen.status("Getting the worker ready")
                await stack.worker_ready()
        _announce(welcome(url))
        try:
            async with _command_server(settings), asyncio.TaskGroup() as tasks:
                # Ends everything with a sentence if the worker or the queue is lost for good.
                tasks.create_task(stack.during(asyncio.Event().wait()))
                for serve in serving:
                    tasks.create_task(_beside_others(serve, settings, stack.redis_url))
        except* SetupError as errors:
            # The first one is the cause; the others were cancelled by it.
            raise errors.exceptions[0] from None


@asynccontextmanager
async def _command_server(settings: BotSettings) -> AsyncIterator[None]:
    """Have commands on this DARKROOM_HOME run in forks of one process, which saves them their imports."""
    server = Child([sys.executable, "-P", "-m", "bot.cli.command_server", str(settings.home.absolute())])
    try:
        yield
    finally:
        await server.stop()


async def _beside_others(serve: Chat, settings: BotSettings, redis_url: str) -> None:
    """Serve a chat; one that is refused after it has served ends alone. Raises SetupError where it cannot begin."""
    served = False

    def announce(text: str) -> None:
        nonlocal served
        served = True
        _announce(text)

    try:
        await serve(settings, redis_url, announce)
    except SetupError as error:
        # At the start somebody watches, and can mend a wrong token; later the other chats matter more.
        if not served:
            raise
        _say(f"{error} Everything else goes on.")


def run_worker(queues: str) -> int:
    """Become a worker; without REDIS_URL run one beside the embedded queue. Raises BadParameter for other queues."""
    if not set(queues.split(",")) <= set(KINDS):
        raise typer.BadParameter(f"--queues takes {listed([*KINDS])}, with a comma between, not {queues}.")
    try:
        settings = load_settings(TrainerSettings)
    except SetupError as error:
        Console(stderr=True).print(str(error), markup=False)
        return 1
    command = [sys.executable, "-m", "trainer", "--queues", queues]
    if settings.redis_url:
        # Signals of a service manager then reach the worker itself, with no parent in between.
        os.execv(command[0], command)  # noqa: S606 (our own Python, and no shell)
    return run(lambda settings: _worker_beside_queue(settings, command))


async def _worker_beside_queue(settings: BotSettings, command: list[str]) -> None:
    async with Stack(settings, _say, stays=True) as stack:
        worker = Child(command, environment={"REDIS_URL": stack.redis_url})
        try:
            if status := await worker.ended():
                raise SetupError(f"The worker ended with status {status}.")
        finally:
            await worker.stop()


def _say(sentence: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(visible(sentence), markup=False)


def _announce(text: str) -> None:
    """Print to standard output, at once also into a pipe."""
    typer.echo(text)
