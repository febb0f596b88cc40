"""A small web on one loopback port: the pages of `tests.servers.web_pages`, by the host that a request names.

A page is at `http://HOST:PORT/PATH` for who resolves hosts with `LoopbackResolver`, and at `http://127.0.0.1:PORT/HOST/PATH`
for processes that cannot be given a resolver.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiohttp.abc import AbstractResolver, ResolveResult

from tests.servers.web_pages.pages import CLOSED_HOST, Page, all_pages

FILL = b"<p>" + b"And so on and so forth. " * 2700 + b"</p>\n"


class LoopbackResolver(AbstractResolver):
    """Resolves every name below `.test` to this machine, as a resolver of aiohttp does, and no other."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not host.endswith(".test"):
            raise OSError(f"{host} is not known here")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


class WebServer:
    """What is served, and what was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages = {page.name: page for page in all_pages()}
        self.requests: list[str] = []  # names of pages, robots.txt among them
        self.closing = threading.Event()

    def url(self, page: Page | str, by_path: bool = False) -> str:
        """Where a page is."""
        name = page if isinstance(page, str) else page.name
        host, slash, path = name.partition("/")
        return f"http://127.0.0.1:{self.port}/{name}" if by_path else f"http://{host}:{self.port}{slash}{path}"

    def name(self, url: str) -> str:
        """The name of the page at a URL of either kind."""
        place = url.partition("://")[2]
        own = f"127.0.0.1:{self.port}/"
        return place.removeprefix(own) if place.startswith(own) else place.replace(f":{self.port}", "", 1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: WebServer

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0]
        by_path = host == "127.0.0.1"
        name = self.path.partition("?")[0].removeprefix("/") if by_path else f"{host}{self.path.partition('?')[0]}"
        self.web.requests.append(name)
        if name.endswith("/robots.txt") or name == "robots.txt":
            closed = name.startswith(CLOSED_HOST)
            self._send(200 if closed else 404, b"User-agent: *\nDisallow: /\n", "text/plain")
            return
        page = self.web.pages.get(name) or self.web.pages.get(f"{name}/")
        if page is None:
            self._send(404, b"<p>There is no such page.</p>", "text/html")
        elif page.location:
            self._send(page.status, b"", "text/html", self._location(page, by_path))
        else:
            self._page(page)

    def _location(self, page: Page, by_path: bool) -> str:
        if page.location in ("/a",) or page.location in self.web.pages:
            own = page.location if page.location in self.web.pages else f"{page.host}{page.location}"
            return self.web.url(own, by_path)
        return page.location

    def _page(self, page: Page) -> None:
        if page.delay_s and self.web.closing.wait(page.delay_s):
            self.close_connection = True
            return
        media_type = "text/html" + (f"; charset={page.declared}" if page.declared else "")
        if not page.padding_bytes:
            self._send(200, page.html(), media_type)
            return
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(page.html())
        for _ in range(page.padding_bytes // len(FILL)):
            self.wfile.write(FILL)

    def _send(self, status: int, body: bytes, media_type: str, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: object) -> None:
        """A client that reads no further is none of our business."""


@contextmanager
def web_server() -> Iterator[WebServer]:
    """Serve the pages on a free port of 127.0.0.1."""
    with _Quiet(("127.0.0.1", 0), _Handler) as server:
        web = WebServer(server.server_port)
        server.RequestHandlerClass = type("Handler", (_Handler,), {"web": web})
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield web
        finally:
            web.closing.set()
            server.shutdown()
