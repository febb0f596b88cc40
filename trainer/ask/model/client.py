"""Client of language models: streams an answer from an OpenAI-style endpoint, with a second one as failover."""

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from storage.failures import Failure
from storage.queue.redis_url import without_secrets
from storage.settings.language_model import LanguageModelSettings
from trainer.ask.model.errors import BROKE_OFF, EMPTY, FILTERED, TOO_LONG, ModelError, meaning_of
from trainer.ask.model.usage import UsageCounter

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger(__name__)

Message = dict[Literal["role", "content"], str]
NO_KEY = "none"  # local servers want no key, but the client wants one to send


@dataclass(frozen=True)
class Delta:
    """The next piece of the text."""

    text: str


@dataclass(frozen=True)
class Restart:
    """The endpoint broke off: what came is void, and the same answer begins anew."""


@dataclass(frozen=True)
class Endpoint:
    """Where a model is."""

    url: str
    key: str = field(repr=False)
    model: str


class ModelClient:
    """Asks the endpoints of the settings, in their order. Close it, or use it as an async context manager."""

    def __init__(self, settings: LanguageModelSettings) -> None:
        self.settings = settings
        first = Endpoint(settings.url, _revealed(settings.key), settings.model)
        second = Endpoint(settings.fallback_url, _revealed(settings.fallback_key), settings.fallback_model)
        self.endpoints = [endpoint for endpoint in (first, second) if endpoint.url]
        self._clients: dict[Endpoint, AsyncOpenAI] = {}

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
                async with aclosing(self._stream_from(endpoint, messages, counter, max_tokens)) as pieces:
                    async for piece in pieces:
                        has_begun = True
                        yield Delta(piece)
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

    async def _stream_from(
        self, endpoint: Endpoint, messages: Sequence[Message], counter: UsageCounter, max_tokens: int | None
    ) -> AsyncGenerator[str, None]:
        """Pieces of text from one endpoint; raises ModelError, also where the stream ends without an end."""
        import openai

        request: dict[str, Any] = {
            "model": endpoint.model,
            "messages": list(messages),
            "max_tokens": max_tokens or self.settings.answer_max_tokens,
            "temperature": self.settings.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        written: list[str] = []
        finish_reason: str | None = None
        reported: Any = None
        try:
            async with await self._client(endpoint).chat.completions.create(**request) as stream:
                async for chunk in stream:
                    reported = chunk.usage or reported
                    for choice in chunk.choices or ():
                        finish_reason = choice.finish_reason or finish_reason
                        if choice.delta and choice.delta.content:
                            written.append(choice.delta.content)
                            yield choice.delta.content
        except (openai.OpenAIError, json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
            raise ModelError(meaning_of(error, bool(written))) from None  # whose text may quote the prompt or the key
        finally:
            counter.add(endpoint.model, messages, written, reported)
        if not finish_reason and written:
            raise ModelError(BROKE_OFF)
        if not written:
            raise ModelError(FILTERED if finish_reason == "content_filter" else EMPTY)

    def _client(self, endpoint: Endpoint) -> "AsyncOpenAI":
        if endpoint not in self._clients:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # which takes a second to import

            self._clients[endpoint] = AsyncOpenAI(
                base_url=endpoint.url,
                api_key=endpoint.key or NO_KEY,
                max_retries=0,  # the other endpoint is asked instead
                timeout=self.settings.timeout_s,
                http_client=DefaultAsyncHttpxClient(follow_redirects=False),  # prompts and keys are for this host alone
            )
        return self._clients[endpoint]


def _revealed(key: SecretStr | None) -> str:
    return key.get_secret_value() if key else ""
