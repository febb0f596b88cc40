"""What tests of the web chat's page share: a queue, a browser, and the settings and store of one test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.servers.backing import valkey
from tests.support.web_chat import chat, chromium, settings_of


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with valkey() as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests of a process: to start one takes seconds."""
    async with chromium() as browser:
        yield browser


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> BotSettings:
    return settings_of(tmp_path, redis_url)


@pytest.fixture
def store(settings: BotSettings) -> FolderStore:
    return FolderStore(Path(settings.store_url))


@pytest_asyncio.fixture(loop_scope="session")
async def page(settings: BotSettings, browser: Browser) -> AsyncIterator[Page]:
    async with chat(settings, browser) as page:
        yield page
