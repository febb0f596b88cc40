"""The search providers that the settings have."""

from collections.abc import Callable

import aiohttp
from pydantic import SecretStr

from storage.errors import SetupError
from storage.settings.ask import AskSettings
from storage.text import listed
from trainer.ask.search.brave import Brave
from trainer.ask.search.failover import FailoverSearch
from trainer.ask.search.provider import SearchProvider
from trainer.ask.search.searxng import SearXNG
from trainer.ask.search.sonar import Sonar


def open_search(settings: AskSettings, session: aiohttp.ClientSession) -> FailoverSearch:
    """Providers in their order, those that are set up; raises SetupError for a name that there is not."""
    opened = [_known(name)(settings, session) for name in settings.provider_names]
    return FailoverSearch([provider for provider in opened if provider])


def _known(name: str) -> Callable[[AskSettings, aiohttp.ClientSession], SearchProvider | None]:
    if name not in PROVIDERS:
        raise SetupError(f"DARKROOM_ASK_SEARCH has “{name}”: the search providers are {listed(list(PROVIDERS))}.")
    return PROVIDERS[name]


def _searxng(settings: AskSettings, session: aiohttp.ClientSession) -> SearchProvider | None:
    return SearXNG(session, settings.searxng_url, settings.search_timeout_s) if settings.searxng_url else None


def _brave(settings: AskSettings, session: aiohttp.ClientSession) -> SearchProvider | None:
    key = _secret(settings.brave_key)
    return Brave(session, settings.brave_url, key, settings.search_timeout_s) if key else None


def _sonar(settings: AskSettings, session: aiohttp.ClientSession) -> SearchProvider | None:
    if not settings.sonar_url:
        return None
    key, timeout_s = _secret(settings.sonar_key), settings.search_timeout_s
    return Sonar(session, settings.sonar_url, key, settings.sonar_model, settings.sonar_tool, timeout_s)


PROVIDERS = {"searxng": _searxng, "brave": _brave, "sonar": _sonar}


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value().strip() if value else ""
