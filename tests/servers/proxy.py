"""An HTTP proxy for tests, before any server: it passes requests on, and does mischief."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Mischief = Literal["lose", "cut"] | tuple[int, str] | tuple[int, str, dict[str, str]] | None
"""What the proxy does: lose the answer, cut it short, answer itself (status, body, headers); None: nothing."""


@contextmanager
def proxy(upstream: str, mischief: Callable[[str, str, Message], Mischief]) -> Iterator[str]:
    """Run an HTTP proxy in front of `upstream`; yields its URL.

    `mischief` is asked at each request, with its method, path and headers; it may take headers away.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # who sent it died: the server would wait for the rest for ever
                self.close_connection = True
                return
            does = mischief(self.command, self.path, self.headers)
            if isinstance(does, tuple):
                self.reply(does[0], does[1].encode(), does[2] if len(does) > 2 else None)
                return
            answer, data = _passed_on(upstream, self.command, self.path, self.headers, body)
            if does != "lose":
                kept = {"ETag", "Last-Modified", "Content-Type", "x-amz-meta-write"}
                headers = {name: value for name, value in answer.getheaders() if name in kept}
                self.reply(answer.status, data, headers, cut=does == "cut")
            self.close_connection = self.close_connection or does is not None

        def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if cut else data)

        def log_message(self, *arguments: object) -> None:
            """Stay quiet."""

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Hold:
    """Holds uploads back whose name has `part` in it, at the door of the server."""

    def __init__(self, *methods: str) -> None:
        self.methods = methods or ("PUT",)
        self.part, self.came, self.let = "", threading.Event(), threading.Event()

    def __call__(self, method: str, path: str, headers: Message) -> None:
        """Wait, if this upload is meant."""
        if self.part and method in self.methods and self.part in path:
            self.came.set()
            self.let.wait(60)

    def begin(self, part: str) -> None:
        """Hold back from now on."""
        self.part = part
        self.came.clear()
        self.let.clear()

    def end(self) -> None:
        """Let everything through."""
        self.part = ""
        self.let.set()


def _passed_on(
    upstream: str, method: str, path: str, headers: Message, body: bytes
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc)
    try:
        skipped = {"host", "expect", "connection"}
        connection.request(method, path, body, {n: v for n, v in headers.items() if n.lower() not in skipped})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()
