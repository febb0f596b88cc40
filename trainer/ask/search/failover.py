"""Several search providers in order of preference: the next is asked when one refuses or finds nothing."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from storage.failures import Failure
from storage.text import listed
from trainer.ask.search.provider import EngineRefusal, Search, SearchAnswer, SearchProvider, SearchResult
from trainer.ask.search.refusals import SearchError

log = logging.getLogger(__name__)

PAUSE_S = {Failure.OUTAGE: 30.0, Failure.PERMANENT: 600.0, Failure.UNKNOWN: 30.0}
NO_ACADEMIC_MODE = "None of the search providers here has an academic mode, so the whole web was searched."


@dataclass(frozen=True)
class FoundPages:
    """Results of the first provider that had some, and whole sentences on those that refused."""

    results: tuple[SearchResult, ...] = ()
    notices: tuple[str, ...] = ()


class FailoverSearch:
    """Asks providers one after the other. One that refused is asked last for a while."""

    def __init__(self, providers: Sequence[SearchProvider]) -> None:
        self.providers = tuple(providers)
        self._paused_until_s: dict[int, float] = {}

    async def search(self, search: Search) -> FoundPages:
        """Search; never raises SearchError: who refused, and why, is in the notices."""
        notices, refusals = [], list[EngineRefusal]()
        providers = self._in_order()
        if search.filters.mode == "academic":
            academic = [provider for provider in providers if provider.has_academic_mode]
            if not academic:
                notices.append(NO_ACADEMIC_MODE)
                search = replace(search, filters=search.filters.model_copy(update={"mode": "web"}))
            providers = academic or providers
        for provider in providers:
            answer = await self._asked(provider, search)
            refusals += answer.refusals
            if answer.results:
                return FoundPages(answer.results, (*notices, *_partly_refused(refusals)))
        return FoundPages((), (*notices, *_refused(refusals)))

    def _in_order(self) -> list[SearchProvider]:
        now_s = time.monotonic()
        return sorted(self.providers, key=lambda provider: self._paused_until_s.get(id(provider), 0.0) > now_s)

    async def _asked(self, provider: SearchProvider, search: Search) -> SearchAnswer:
        try:
            return await provider.search(search)
        except SearchError as error:
            log.warning("%s gave no results: %s", provider.name, error.reason)
            if not error.of_query:
                self._paused_until_s[id(provider)] = time.monotonic() + PAUSE_S[error.failure]
            return SearchAnswer(refusals=(EngineRefusal(provider.name, error.reason),))


def _refused(refusals: Iterable[EngineRefusal]) -> list[str]:
    reasons = _reasons(refusals)
    return [f"The search engines refused: {reasons}."] if reasons else []


def _partly_refused(refusals: Iterable[EngineRefusal]) -> list[str]:
    reasons = _reasons(refusals)
    return [f"Some search engines gave no results: {reasons}."] if reasons else []


def _reasons(refusals: Iterable[EngineRefusal]) -> str:
    return listed(list(dict.fromkeys(f"{each.engine} ({each.reason})" for each in refusals)))
