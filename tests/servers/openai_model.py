"""A language model for tests: OpenAI's chat completions, strictly, with answers made from the context that is sent.

It is deterministic, and has every bad habit of real models. It obeys any order that reaches it outside of the sources.
"""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Literal

Habit = Literal[
    "plain", "list", "range", "lenticular", "dagger", "fullwidth", "nested", "unknown_numbers", "missing_ends", "links",
    "footnotes", "parentheses", "superscripts", "tags", "source_list", "json", "wrong_source", "wrong_figures",
    "no_citations",
]  # fmt: skip
Failure = Literal["die", "no_end", "error_in_stream", "hang", "empty", "not_json", "error_body"] | int

HABITS: tuple[Habit, ...] = (
    "plain", "list", "range", "lenticular", "dagger", "fullwidth", "nested", "unknown_numbers", "missing_ends", "links",
    "footnotes", "parentheses", "superscripts", "tags", "source_list", "json", "wrong_source",
)  # fmt: skip
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
KNOWN = {
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "n",
    "stop", "seed", "user",
}  # fmt: skip
NOTHING = "I found nothing that answers this."
ORDER = re.compile(r"(?:answer|reply|say|write) only[:\s]+[\"“]?([A-Z]{4,})")
SOURCE = re.compile(r"^\[(\d+)\] (.*)\n((?:(?!^\[\d+\] ).*\n?)*)", re.MULTILINE)
ERRORS = {
    400: ("context_length_exceeded", "This model's maximum context length is 8192 tokens."),
    401: ("invalid_api_key", "Incorrect API key provided: sk-…"),
    404: ("model_not_found", "The model does not exist."),
    429: ("rate_limit_exceeded", "Rate limit reached."),
    500: (None, "The server had an error."),
    503: (None, "The engine is overloaded."),
}
WORD = re.compile(r"\w{3,}")
COMMON = set(
    "what when where which who whom whose how many much does did the and are was were for from with has have".split()
)


@dataclass
class ModelServer:
    """What the model is like; change it as a test needs."""

    url: str = ""
    key: str = ""  # empty: any
    model: str = "test-model"
    habit: Habit = "plain"
    chunk_characters: int = 7  # of a delta
    reports_usage: bool = True
    streams: bool = True  # False: it answers in one piece, also who asks for a stream
    rejects: tuple[str, ...] = ()  # parameters that it does not take
    refusal: str = ""  # with which it refuses every request (400)
    thoughts: str = ""  # that it leaves in the text, before the answer
    says: str | None = None  # with which it answers every question, in place of what it would compose
    context_characters: int = 10**9  # more than so many are refused as too long
    failures: list[tuple[Failure, int]] = field(
        default_factory=list
    )  # for the next requests: what, after how many chunks
    requests: list[dict[str, Any]] = field(default_factory=list)
    released: Event = field(default_factory=Event)  # ends those that hang
    lock: Lock = field(default_factory=Lock)

    def fail(self, failure: Failure, after_chunks: int = 0, times: int = 1) -> None:
        """Have the next requests fail: with a status, or in the middle of a stream."""
        self.failures += [(failure, after_chunks)] * times


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Serve a model on a free port."""
    state = ModelServer()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()


def composed(messages: list[dict[str, str]], habit: Habit) -> str:
    """The model's answer to messages: the sentences that have most of the question's words, with their sources."""
    text = "\n".join(message["content"] for message in messages)
    before, _, rest = text.partition("<sources>\n")
    block, _, after = rest.partition("</sources>")
    if order := ORDER.search(before + after):
        return order[1]
    if not rest and "three short questions" in text:
        return "1. Who built it?\n2. When did it open?\n3. What does it cost?"
    question = after.rpartition("Question:")[2].split("\n")[0]
    asked = _stems(question)
    sentences = _sentences(block)
    counts = Counter(word for _, sentence in sentences for word in asked & _stems(sentence))
    scores = [
        sum(1 / counts[word] for word in asked & _stems(sentence)) for _, sentence in sentences
    ]  # rare words tell
    most = max(scores, default=0.0)
    if not most:
        return NOTHING
    best = [row for row in sorted(range(len(scores)), key=lambda row: -scores[row]) if scores[row] >= 0.8 * most]
    best = [sentences[row] for row in best[:3]]
    text = " ".join(_cited(sentence, number, habit) for number, sentence in best)
    if habit == "footnotes":
        return "\n".join([text, "", *(f"[^{number}]: A page, as I remember it" for number, _ in best)])
    if habit == "source_list":
        return "\n".join([text, "", "**Sources:**", *(f"- [{n}] https://made-up.example/{n}" for n, _ in best)])
    return json.dumps({"answer": text, "citations": [number for number, _ in best]}) if habit == "json" else text


def _sentences(block: str) -> list[tuple[int, str]]:
    return [
        (int(number), sentence.strip())
        for number, _, text in SOURCE.findall(block)
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", text)
        if len(sentence.strip()) > 8
    ]


def _stems(text: str) -> set[str]:
    return {word[:6] for word in WORD.findall(text.lower())} - {word[:6] for word in COMMON}


def _cited(sentence: str, number: int, habit: Habit) -> str:
    end = sentence[-1] if sentence[-1] in ".!?" else "."
    body = sentence.rstrip(".!?")
    if habit == "wrong_figures":
        body = re.sub(r"\d+", lambda match: str(int(match[0]) * 3 + 7), body)
    marker = {
        "plain": f"[{number}]", "list": f"[{number}, {number}]", "range": f"[{number}-{number}]",
        "lenticular": f"【{number}】", "dagger": f"【{number}†source】", "fullwidth": f"［{number}］",
        "nested": f"[[{number}]]", "unknown_numbers": f"[{number}][97]", "missing_ends": f"[{number}",
        "links": f"[{number}](https://made-up.example/{number})", "wrong_source": f"[{number % 3 + 1}]",
        "footnotes": f"[^{number}]", "parentheses": f"({number})", "superscripts": str(number).translate(RAISED),
        "tags": f"<sup>{number}</sup>",
    }.get(habit, f"[{number}]")  # fmt: skip
    if habit == "no_citations":
        return f"{body}{end}"
    return f"{body}{marker}{end}" if habit in ("superscripts", "tags") else f"{body} {marker}{end}"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # fifty questions may come at once


class _Handler(BaseHTTPRequestHandler):
    state: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def handle(self) -> None:
        with suppress(ConnectionError):  # who asked may go at any time
            super().handle()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.state.lock:
            failure, after = self.state.failures.pop(0) if self.state.failures else (None, 0)
        if isinstance(failure, int):
            return self._refuse(failure)
        if self.state.key and self.headers.get("Authorization") != f"Bearer {self.state.key}":
            return self._refuse(401)
        try:
            request = json.loads(body)
            problem = self.state.refusal or _problem(request, self.path) or _rejected(request, self.state.rejects)
        except ValueError:
            problem = "The body is no JSON."
        if problem:
            return self._send(400, {"error": {"message": problem, "type": "invalid_request_error", "code": None}})
        self.state.requests.append(request)
        if request["model"] != self.state.model:
            return self._refuse(404)
        if sum(len(message["content"]) for message in request["messages"]) > self.state.context_characters:
            return self._refuse(400)
        if failure == "error_body":
            return self._send(200, {"error": {"message": "The model crashed.", "type": "server_error", "code": None}})
        text = self.state.says if self.state.says is not None else composed(request["messages"], self.state.habit)
        text = self.state.thoughts + text if failure != "empty" else ""
        if request.get("stream") and self.state.streams:
            return self._stream(request, text, failure, after)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self._send(200, self._body("chat.completion", [choice]) | {"usage": _usage(request, text)})

    def _stream(self, request: dict[str, Any], text: str, failure: Failure | None, after: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked may have gone
            self._event(self._chunk({"role": "assistant", "content": ""}))
            size = self.state.chunk_characters
            for n, at in enumerate(range(0, len(text), size)):
                if failure and n == after and self._failed(failure):
                    return
                self._event(self._chunk({"content": text[at : at + size]}))
            if failure != "no_end":
                self._event(self._chunk({}, "stop"))
                if self.state.reports_usage and (request.get("stream_options") or {}).get("include_usage"):
                    self._event(self._body("chat.completion.chunk", []) | {"usage": _usage(request, text)})
                self._write(b"data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")

    def _failed(self, failure: Failure) -> bool:
        """Fail in the middle; whether the stream is over."""
        if failure == "error_in_stream":
            self._event({"error": {"message": "The server had an error.", "type": "server_error", "code": 502}})
        elif failure == "not_json":
            self._write(b"data: {not json}\n\n")
        elif failure == "hang":
            self.state.released.wait(60)
        if failure in ("empty", "no_end"):
            return False
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        return self._body("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": finish_reason}])

    def _body(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": self.state.model, "choices": choices}

    def _event(self, data: dict[str, Any]) -> None:
        self._write(f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode())

    def _write(self, data: bytes) -> None:
        """Send an event in two pieces, wherever that cuts it."""
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.flush()

    def _refuse(self, status: int) -> None:
        code, message = ERRORS.get(status, (None, "It failed."))
        self._send(status, {"error": {"message": message, "type": "error", "code": code, "param": None}})

    def _send(self, status: int, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _problem(request: dict[str, Any], path: str) -> str:
    """What is wrong with a request, as OpenAI would refuse it; empty if nothing is."""
    messages = request.get("messages")
    checks = {
        f"Unknown URL {path}": path == "/v1/chat/completions",
        f"Unrecognized arguments: {set(request) - KNOWN}": not set(request) - KNOWN,
        "messages must be a list that is not empty": isinstance(messages, list) and bool(messages),
        "a message has a role and a content": isinstance(messages, list)
        and all(
            set(m) == {"role", "content"}
            and m["role"] in ("system", "user", "assistant")
            and isinstance(m["content"], str)
            for m in messages
        ),
        "stream_options needs stream": request.get("stream") is True or "stream_options" not in request,
        "max_tokens is a positive number": isinstance(request.get("max_tokens", 1), int)
        and request.get("max_tokens", 1) > 0,
        "temperature is from 0 to 2": 0 <= request.get("temperature", 1) <= 2,
    }
    return next((problem for problem, fine in checks.items() if not fine), "")


def _rejected(request: dict[str, Any], rejects: tuple[str, ...]) -> str:
    return next((f"Unsupported parameter: '{name}' is not supported." for name in rejects if name in request), "")


def _usage(request: dict[str, Any], text: str) -> dict[str, int]:
    prompt = sum(len(message["content"].split()) for message in request["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": len(text.split()), "total_tokens": prompt + len(text.split())}
