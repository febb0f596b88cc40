"""SearXNG's search API (docs/dev/search_api.rst, searx/webapp.py) over the pages of `tests.servers.web`."""

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.servers.web import WebServer
from tests.servers.web_pages.pages import Page

PARAMETERS = {
    "q", "format", "categories", "engines", "language", "pageno", "time_range", "safesearch", "image_proxy",
    "autocomplete", "results_on_new_tab", "theme", "enabled_plugins", "disabled_plugins",
}  # fmt: skip
CATEGORIES = {"general", "science", "news", "it", "images", "videos", "files", "music", "map", "social media"}
LANGUAGE = re.compile(r"all|auto|[a-z]{2,3}(-[a-zA-Z]{2,4})?")
OPERATOR = re.compile(r"(-?)site:(\S+)")
PAGE_SIZE = 10
WORD = re.compile(r"\w+")
TRACKING = "?utm_source=searx&utm_medium=web"


class SearXNGServer:
    """How the server behaves: tests set these, and read what it noted."""

    def __init__(self, web: WebServer, url: str, by_path: bool) -> None:
        self.web, self.url, self.by_path = web, url, by_path
        self.formats = {"html", "json"}  # `search.formats` of its settings
        self.limiter = False  # whether it takes clients like ours for bots
        self.unresponsive_engines: list[list[str]] = []
        self.results_come = True  # False: all engines are blocked
        self.knows_operators = True  # whether engines obey `site:`
        self.duplicates = True  # every third result comes twice, the second time with tracking parameters
        self.extra_results: list[dict[str, str]] = []  # put first
        self.queries: list[dict[str, str]] = []
        self.violations: list[str] = []
        self._words = {page.name: _words(page) for page in web.pages.values()}
        counts = Counter(word for words in self._words.values() for word in words)
        self._weights = {word: math.log(1 + len(self._words) / count) for word, count in counts.items()}

    def search(self, query: str) -> list[Page]:
        """Pages with words of the query, those with the rarest words first."""
        operators = OPERATOR.findall(query) if self.knows_operators else []
        asked = {_stem(word) for word in WORD.findall(OPERATOR.sub("", query).lower())}
        scores = {name: sum(self._weights[word] for word in asked & words) for name, words in self._words.items()}
        found = [name for name in sorted(scores, key=lambda n: (-scores[n], n)) if scores[name] > 1]
        return [self.web.pages[name] for name in found if _obeys(name, operators)][:PAGE_SIZE]

    def answer(self, query: dict[str, str]) -> dict[str, object]:
        """The JSON of an answer."""
        found = self.search(query["q"]) if self.results_come and query.get("pageno", "1") == "1" else []
        results = list(self.extra_results)
        for number, page in enumerate(found):
            results.append(self._result(page))
            if self.duplicates and number % 3 == 0:
                results.append({**self._result(page), "url": self._result(page)["url"] + TRACKING})
        return {
            "query": query["q"], "number_of_results": 0, "results": results, "answers": [], "corrections": [],
            "infoboxes": [], "suggestions": [], "unresponsive_engines": self.unresponsive_engines,
        }  # fmt: skip

    def _result(self, page: Page) -> dict[str, str]:
        published = {"publishedDate": f"{page.published}T00:00:00"} if page.published else {}
        content = page.text[:160] if not page.delay_s else page.text
        return {
            "url": self.web.url(page, self.by_path), "title": page.title, "content": content, "engine": "fake",
            "template": "default.html", "category": "general", **published,
        }  # fmt: skip


def _words(page: Page) -> frozenset[str]:
    return frozenset(_stem(word) for word in WORD.findall(f"{page.title} {page.text}".lower()))


def _stem(word: str) -> str:
    return word.removesuffix("s")[:6]


def _obeys(name: str, operators: list[tuple[str, str]]) -> bool:
    inside = [_is_below(name, site) for minus, site in operators if not minus]
    return (not inside or any(inside)) and not any(_is_below(name, site) for minus, site in operators if minus)


def _is_below(name: str, site: str) -> bool:
    host, _, path = site.partition("/")
    own, _, rest = name.partition("/")
    return (own == host or own.endswith(f".{host}")) and rest.startswith(path)


class _Handler(BaseHTTPRequestHandler):
    searxng: SearXNGServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = dict(pairs)
        self.searxng.queries.append(query)
        self.searxng.violations += _violations(parts.path, pairs)
        if parts.path != "/search":
            self._send(404, {"error": "not found"})
        elif self.searxng.limiter:
            self._send(429, "Too Many Requests")
        elif query.get("format") not in self.searxng.formats:
            self._send(403, "Forbidden")
        elif not query.get("q", "").strip():
            self._send(400, {"error": "No query"})
        else:
            self._send(200, self.searxng.answer(query))

    def _send(self, status: int, body: object) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


def _violations(path: str, pairs: list[tuple[str, str]]) -> list[str]:
    """What a real instance would not understand, or would silently ignore."""
    query = dict(pairs)
    found = [f"unknown parameter {name}" for name, _ in pairs if name not in PARAMETERS]
    found += [f"{path} is no endpoint"] if path != "/search" else []
    found += ["a parameter twice"] if len(query) != len(pairs) else []
    checks = {
        "categories": lambda value: set(value.split(",")) <= CATEGORIES,
        "language": lambda value: LANGUAGE.fullmatch(value) is not None,
        "time_range": lambda value: value in ("day", "month", "year"),
        "pageno": lambda value: value.isdigit() and int(value) > 0,
        "safesearch": lambda value: value in ("0", "1", "2"),
        "format": lambda value: value in ("json", "csv", "rss", "html"),
    }
    return found + [
        f"{name}={query[name]}" for name, check in checks.items() if name in query and not check(query[name])
    ]


@contextmanager
def searxng_server(web: WebServer, by_path: bool = False) -> Iterator[SearXNGServer]:
    """Run it on a free port. `by_path`: its results are URLs of 127.0.0.1, for processes without a resolver of ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        searxng = SearXNGServer(web, f"http://127.0.0.1:{server.server_port}", by_path)
        server.RequestHandlerClass = type("Handler", (_Handler,), {"searxng": searxng})
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield searxng
        finally:
            server.shutdown()
