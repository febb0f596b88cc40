"""Client of language models: streams an answer from an OpenAI-style endpoint, with a second one as failover."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pydantic import SecretStr

from storage.failures import Failure
from storage.queue.redis_url import without_secrets
from storage.settings.language_model import LanguageModelSettings
from trainer.ask.model.endpoint import Delta, Endpoint, EndpointClient, Message, Restart
from trainer.ask.model.errors import TOO_LONG, ModelError
from trainer.ask.model.usage import UsageCounter

log = logging.getLogger(__name__)


class ModelClient:
    """Asks the endpoints of the settings, in their order. Close it, or use it as an async context manager."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        self.settings = settings
        first = Endpoint(settings.url, _revealed(settings.key), settings.model)
        second = Endpoint(settings.fallback_url, _revealed(settings.fallback_key), settings.fallback_model)
        self.endpoints = [endpoint for endpoint in (first, second) if endpoint.url]
        self._clients: dict[Endpoint, EndpointClient] = {}

    async def __aenter__(self) -> "ModelClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def new_counter(self) -> UsageCounter:
        """A counter for what one answer takes, with the prices of the settings."""
        return UsageCounter(self.settings.prompt_price, self.settings.completion_price)

    async def stream(
        self, messages: Sequence[Message], counter: UsageCounter, max_tokens: int | None = None
    ) -> AsyncGenerator[Delta | Restart, None]:
        """The pieces of an answer. If an endpoint fails, the next one is asked.

        After the first piece there is one more try, announced by `Restart`: at the next endpoint, or at the same one
        if there is no other. Raises ModelError of the last failure.
        """
        attempts = list(self.endpoints)
        restarted = False
        while attempts:
            endpoint = attempts.pop(0)
            has_begun = False
            try:
                pieces = self._client(endpoint).stream(
                    messages, counter, max_tokens or self.settings.answer_max_tokens, self.settings.temperature
                )
                async with aclosing(pieces):
                    async for piece in pieces:
                        has_begun = True
                        yield piece
                return
            except ModelError as error:
                log.warning("%s: %s", without_secrets(endpoint.url), error)
                if has_begun:
                    attempts = attempts or [endpoint]
                    if restarted or error.failure is Failure.PERMANENT:
                        raise
                    restarted = True
                    yield Restart()
                elif not attempts or error.meaning is TOO_LONG:
                    raise

    async def complete(self, messages: Sequence[Message], counter: UsageCounter, max_tokens: int) -> str:
        """A whole answer at once; raises ModelError."""
        text = ""
        async with aclosing(self.stream(messages, counter, max_tokens)) as events:
            async for event in events:
                text = text + event.text if isinstance(event, Delta) else ""
        return text

    def _client(self, endpoint: Endpoint) -> EndpointClient:
        if endpoint not in self._clients:
            self._clients[endpoint] = EndpointClient(endpoint, self.settings.timeout_s)
        return self._clients[endpoint]


def _revealed(key: SecretStr | None) -> str:
    return key.get_secret_value() if key else ""
