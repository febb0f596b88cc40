"""What a client asks for: OpenAI's request with Sonar's parameters, as a question, its filters and what came before.

Parameters that only tune a model, `temperature` say, are for the operator's settings to decide, and are passed over;
those that would change what an answer is, like tools, are refused.
"""

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from bot.arguments.ask_arguments import AskArguments
from bot.arguments.validation import check
from bot.connectors.web.openai_api.chunks import StreamMode
from bot.connectors.web.openai_api.errors import ApiError
from bot.connectors.web.openai_api.web_search_tools import domains_of, has_other_tools
from storage.ask.filter_input import read_date, read_filters
from storage.contract.ask import QUESTION_MAX, Answer, AskFilters, Turn
from storage.errors import UserError
from storage.kinds.ask import TURNS_MAX

TEXT_MAX = 20_000  # characters of an earlier answer
MESSAGES_MAX = 1000
NO_TOOLS = "This server answers from sources, and calls no tools but its own web search."
UNSUPPORTED = {
    "functions": "This server answers from sources, and calls no functions.",
    "disable_search": "This server answers from sources alone, so it cannot leave out the search.",
}
DATE_FILTERS = (
    "search_after_date_filter",
    "search_before_date_filter",
    "last_updated_after_filter",
    "last_updated_before_filter",
)
MARKER = re.compile(r"\[\d{1,4}\]")


class ContentPart(BaseModel):
    """A piece of a message."""

    type: str
    text: str = ""


class Message(BaseModel):
    """A message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """What it says; raises ApiError for pictures and other content that is no text."""
        if isinstance(self.content, str) or self.content is None:
            return self.content or ""
        if other := next((part.type for part in self.content if part.type != "text"), ""):
            raise ApiError(400, f"Messages are text here, and not {other[:40]}.", "unsupported_content", "messages")
        return "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """OpenAI's options of a stream."""

    include_usage: bool = False


class WebSearchOptions(BaseModel):
    """How much is read: Sonar's and OpenAI's."""

    search_context_size: str | None = None


class ChatRequest(BaseModel):
    """The body of a request, as far as it means something here."""

    messages: list[Message] = Field(min_length=1, max_length=MESSAGES_MAX)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stream_mode: StreamMode | None = ""
    n: Literal[1] | None = 1
    search_domain_filter: list[str] | None = None
    search_recency_filter: str | None = None
    search_after_date_filter: str | None = None
    search_before_date_filter: str | None = None
    last_updated_after_filter: str | None = None
    last_updated_before_filter: str | None = None
    search_language_filter: list[str] | None = None
    search_mode: str | None = None
    web_search_options: WebSearchOptions | None = None
    return_related_questions: bool | None = False

    @property
    def question(self) -> str:
        """The last message; raises ApiError if it cannot be asked."""
        role, text = _by_speaker(self.messages)[-1]
        if role != "user":
            raise ApiError(400, "The last message has to be the user's question.", "invalid_messages", "messages")
        try:
            return check(AskArguments, {"question": text}).question
        except UserError as error:
            raise ApiError(400, str(error), "invalid_question", "messages") from None

    @property
    def conversation(self) -> tuple[Turn, ...]:
        """The questions and answers before it, the newest last."""
        texts = _by_speaker(self.messages)[:-1]
        turns = [
            Turn(question=asked[:QUESTION_MAX], answer=Answer(text=answered[:TEXT_MAX]))
            for (role, asked), (_, answered) in pairwise(texts)
            if role == "user"
        ]
        return tuple(turns[-TURNS_MAX:])

    @property
    def filters(self) -> AskFilters:
        """Which sources are admitted; raises ApiError."""
        size = self.web_search_options.search_context_size if self.web_search_options else ""
        for name in DATE_FILTERS:
            try:
                read_date(getattr(self, name) or "", name)
            except UserError as error:
                raise ApiError(400, str(error), "invalid_date", name) from None
        try:
            return read_filters(
                domains=self.search_domain_filter or (),
                recency=self.search_recency_filter or "",
                after=self.search_after_date_filter or "",
                before=self.search_before_date_filter or "",
                updated_after=self.last_updated_after_filter or "",
                updated_before=self.last_updated_before_filter or "",
                mode=self.search_mode or "",
                size=size or "",
                language=self.search_language_filter or (),
            )
        except UserError as error:
            raise ApiError(400, str(error), "invalid_filter") from None
        except ValidationError:
            raise ApiError(400, "A domain is too long.", "invalid_filter", "search_domain_filter") from None


def read_request(body: Any) -> ChatRequest:
    """Check the body of a request; raises ApiError with the first thing that is wrong."""
    if not isinstance(body, dict):
        raise ApiError(400, "The body has to be a JSON object.", "invalid_json")
    if has_other_tools(body.get("tools")):
        raise ApiError(400, NO_TOOLS, "unsupported_parameter", "tools")
    for name, sentence in UNSUPPORTED.items():
        if body.get(name):
            raise ApiError(400, sentence, "unsupported_parameter", name)
    wanted = body.get("response_format") or {}
    if not isinstance(wanted, dict) or wanted.get("type", "text") != "text":
        raise ApiError(400, "Answers are text with sources, not JSON.", "unsupported_parameter", "response_format")
    domains = domains_of(body)
    try:
        asked = ChatRequest.model_validate(body)
        if domains:
            asked.search_domain_filter = list(dict.fromkeys([*(asked.search_domain_filter or ()), *domains]))
        return asked
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ApiError(400, f"{where}: {first['msg']}.", "invalid_parameter", str(first["loc"][0])) from None


def without_markers(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns whose numbers mean nothing here, without them."""
    return tuple(
        Turn(question=turn.question, answer=Answer(text=MARKER.sub("", turn.answer.text).strip())) for turn in turns
    )


def _by_speaker(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """What user and assistant said in turn; messages of one speaker that follow each other are one."""
    spoken = [message for message in messages if message.role in ("user", "assistant")]
    texts = [
        (role, "\n".join(message.text for message in group)) for role, group in groupby(spoken, key=lambda m: m.role)
    ]
    return texts or [("", "")]
