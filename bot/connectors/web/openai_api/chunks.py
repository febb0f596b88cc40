"""An answer as a stream of `chat.completion.chunk`s, made of what is known of it from time to time."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from bot.connectors.web.openai_api.completion import Json, annotations, envelope, sources_fields, usage
from storage.contract.ask import Answer
from storage.contract.progress import Progress

StreamMode = Literal["", "full", "concise"]
"""Sonar's `stream_mode`. Full: each chunk has the whole message so far. Concise: sources come at the end alone."""

BEGINS_ANEW = "\n\n(The answer begins anew.)\n\n"  # what was streamed cannot be taken back


class ChunkStream:
    """Turns progress and the answer of one question into chunks: what is read, then text, then citations and the end.

    While no text is there, `search_results` are the sources that are being read, which no marker can mean yet. From the
    first marker on they are those that are cited, as far as they are, in the order of their numbers.
    """

    def __init__(self, id_: str, model: str, mode: StreamMode = "", include_usage: bool = False) -> None:
        self._id, self._model, self._mode, self._include_usage = id_, model, mode, include_usage
        self._created_s = int(time.time())
        self._sent = ""  # all text that was streamed
        self._offset = 0  # in it, where the answer begins that is being written
        self._reading: list[Json] = []

    def begin(self) -> Json:
        """The first chunk."""
        return self._chunk({"role": "assistant", "content": ""})

    def add(self, progress: Progress) -> Iterator[Json]:
        """Chunks for what is new in a job's progress."""
        reading = [_read_so_far(source) for source in progress.live.get("sources") or []]
        if reading != self._reading and not self._sent and self._mode != "concise":
            self._reading = reading
            yield self._chunk({}) | {"search_results": reading}
        if text := self._new_text(str(progress.live.get("text") or "")):
            cited = numbered_results(progress.live.get("cited") or {})
            yield self._text(text) | (cited if self._mode != "concise" else {})

    def end(self, answer: Answer) -> Iterator[Json]:
        """The rest of the text, then the end with citations; usage in a chunk of its own if the client wants that."""
        if text := self._new_text(answer.text):
            yield self._text(text)
        last = self._chunk({"annotations": annotations(answer, self._offset)}, "stop") | sources_fields(answer)
        if self._mode == "concise":
            last["object"] = "chat.completion.done"
        yield last if self._include_usage else last | {"usage": usage(answer)}
        if self._include_usage:
            yield self._envelope() | {"choices": [], "usage": usage(answer)}

    def _new_text(self, text: str) -> str:
        """What is to be sent so that the client has this text, of which it may have a part, or another one."""
        current = self._sent[self._offset :]
        if current.startswith(text):
            return ""
        if text.startswith(current):
            return text[len(current) :]
        self._offset = len(self._sent) + len(BEGINS_ANEW)
        return BEGINS_ANEW + text

    def _text(self, text: str) -> Json:
        self._sent += text
        return self._chunk({"content": text})

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice: Json = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        if self._mode == "full" or (self._mode == "concise" and finish_reason):
            choice["message"] = {"role": "assistant", "content": self._sent}
        return self._envelope() | {"choices": [choice]}

    def _envelope(self) -> Json:
        return envelope(self._id, self._model, "chat.completion.chunk", self._created_s)


def _read_so_far(source: Mapping[str, Any]) -> Json:
    return {"title": source.get("title") or "", "url": source.get("url") or "", "date": source.get("published")}


def numbered_results(cited: Mapping[str, Mapping[str, Any]]) -> Json:
    """Sonar's fields for the sources that a text cites so far, by their numbers; nothing if there are none."""
    if not cited:
        return {}
    numbers = range(1, max(map(int, cited)) + 1)
    results = [_read_so_far(cited.get(str(number)) or {}) for number in numbers]
    return {"citations": [each["url"] for each in results], "search_results": results}
