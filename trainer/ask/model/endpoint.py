"""One endpoint of a language model: streams an answer through the `openai` client, whatever its server can do."""

import json
import logging
import re
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from trainer.ask.model.errors import BROKE_OFF, EMPTY, FILTERED, GARBLED, TOO_LONG, ModelError, meaning_of
from trainer.ask.model.json_answer import JsonAnswerFilter
from trainer.ask.model.reasoning import ReasoningFilter
from trainer.ask.model.usage import UsageCounter

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

Message = dict[Literal["role", "content"], str]
NO_KEY = "none"  # local servers want no key, but the client wants one to send
CHARACTERS_A_TOKEN = 12  # more than any text has on average: what is longer than its tokens allow is cut off
OPTIONAL = ("stream_options", "temperature", "max_tokens")  # what some servers or models refuse
REFUSAL = (
    r"(?:unsupported|(?:\bnot|n['’]t) (?:be )?(?:support|accept|allowed|permitted|available)|unrecogni[sz]ed|unknown|"
    r"unexpected|extra[ _]|deprecated)"
)
REFUSED = {  # a refusal of a parameter beside its name, not of its value: “temperature must be <= 1”
    name: re.compile(rf"{REFUSAL}.{{0,60}}\b{name}\b|\b{name}\b.{{0,60}}{REFUSAL}", re.IGNORECASE | re.DOTALL)
    for name in OPTIONAL
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delta:
    """The next piece of the text."""

    text: str


@dataclass(frozen=True)
class Restart:
    """What came is void: the endpoint broke off, or it was not the answer. The same answer begins anew."""


@dataclass(frozen=True)
class Endpoint:
    """Where a model is."""

    url: str
    key: str = field(repr=False)
    model: str


class EndpointClient:
    """The connections to one endpoint. `close` it."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint, self._timeout_s = endpoint, timeout_s
        self._client: AsyncOpenAI | None = None
        self._refused: set[str] = set()  # of the optional parameters

    async def close(self) -> None:
        """Close all connections."""
        if self._client:
            await self._client.close()

    async def stream(
        self, messages: Sequence[Message], counter: UsageCounter, max_tokens: int, temperature: float
    ) -> AsyncGenerator[Delta | Restart, None]:
        """Pieces of text, without what the model thinks before; raises ModelError, also for a text without an end."""
        import openai

        request: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        chunks = _Chunks()
        answer, has_text = AnswerText(), False
        try:
            async with await self._opened(request) as stream:
                pieces = _whole(stream, chunks) if _is_json(stream) else chunks.pieces(stream)
                async for piece in pieces:
                    text, is_void = answer.feed(piece)
                    if is_void and has_text:
                        yield Restart()
                    if text:
                        has_text = True
                        yield Delta(text)
                    if answer.length > CHARACTERS_A_TOKEN * max_tokens:
                        chunks.finish_reason = "length"
                        break
        except (openai.OpenAIError, json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
            raise ModelError(meaning_of(error, bool(chunks.written))) from None  # its text may quote prompt or key
        finally:
            counter.add(self._endpoint.model, messages, chunks.written, chunks.usage)
        if not chunks.finish_reason and chunks.written:
            raise ModelError(BROKE_OFF)
        text, is_void = answer.finish()
        if is_void and has_text:
            yield Restart()
        if text:
            yield Delta(text)
        elif not has_text or is_void:
            raise ModelError(FILTERED if chunks.finish_reason == "content_filter" else EMPTY)

    async def _opened(self, request: dict[str, Any]) -> Any:
        """The stream of a request, without those optional parameters that the endpoint says it does not take."""
        import openai

        refused = set(self._refused)
        while True:
            given = {name: value for name, value in request.items() if name not in refused}
            if "max_tokens" in refused:
                given["max_completion_tokens"] = request["max_tokens"]  # its name with newer models
            try:
                stream = await self._connected().chat.completions.create(**given)
            except openai.APIStatusError as error:
                name = _refused_parameter(error, refused)
                if not name:
                    raise
                refused.add(name)
                continue
            for name in sorted(refused - self._refused):
                logger.warning("The model %s does not take %s: it is left out", self._endpoint.model, name)
            self._refused |= refused  # only now that it helped
            return stream

    def _connected(self) -> "AsyncOpenAI":
        if self._client is None:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # which takes a second to import

            self._client = AsyncOpenAI(
                base_url=self._endpoint.url,
                api_key=self._endpoint.key or NO_KEY,
                max_retries=0,  # the other endpoint is asked instead
                timeout=self._timeout_s,
                http_client=DefaultAsyncHttpxClient(follow_redirects=False),  # prompts and keys are for this host alone
            )
        return self._client


def _refused_parameter(error: "APIStatusError", left_out: Collection[str]) -> str:
    """The optional parameter that a refusal is about; empty if it is about none."""
    if error.status_code not in (400, 422) or meaning_of(error) is TOO_LONG:
        return ""
    text = str(error.body or error.message)
    return next((name for name in OPTIONAL if name not in left_out and REFUSED[name].search(text)), "")


class AnswerText:
    """The text of an answer as it comes, without thoughts, and without JSON around it."""

    def __init__(self) -> None:
        self._reasoning, self._json = ReasoningFilter(), JsonAnswerFilter()
        self.length = 0  # of all that was fed

    def feed(self, piece: str) -> tuple[str, bool]:
        """The text that is certain now, and whether all text before it is void."""
        self.length += len(piece)
        text, is_void = self._reasoning.feed(piece)
        if is_void:
            self._json = JsonAnswerFilter()
        return self._json.feed(text) if text else "", is_void

    def finish(self) -> tuple[str, bool]:
        """The rest of the text, and whether all text before it is void."""
        text, is_void = self._reasoning.finish()
        if is_void:
            self._json = JsonAnswerFilter()
        return self._json.feed(text) + self._json.finish(), is_void


class _Chunks:
    """What a stream's chunks have said so far."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.finish_reason: str | None = None
        self.usage: Any = None

    async def pieces(self, stream: Any) -> AsyncGenerator[str, None]:
        async for chunk in stream:
            self.usage = chunk.usage or self.usage
            for choice in chunk.choices or ():
                self.finish_reason = choice.finish_reason or self.finish_reason
                if choice.delta and choice.delta.content:
                    self.written.append(choice.delta.content)
                    yield choice.delta.content


def _is_json(stream: Any) -> bool:
    """Whether a server has answered in one piece, which it was not asked for: with an answer, or an error."""
    return "json" in stream.response.headers.get("content-type", "").lower()


async def _whole(stream: Any, chunks: _Chunks) -> AsyncGenerator[str, None]:
    """The text of an answer in one piece; raises ModelError, and APIError for an error in place of an answer."""
    import openai

    body = json.loads(await stream.response.aread())
    if not isinstance(body, dict):
        raise ModelError(GARBLED)
    if error := body.get("error"):
        known = error if isinstance(error, dict) else {"message": str(error)}
        raise openai.APIError(str(known.get("message") or ""), stream.response.request, body=known)
    chunks.usage = SimpleNamespace(**body["usage"]) if isinstance(body.get("usage"), dict) else None
    for choice in body.get("choices") or ():
        chunks.finish_reason = choice.get("finish_reason") or "stop"
        if text := (choice.get("message") or {}).get("content"):
            chunks.written.append(text)
            yield text
