"""What can go wrong on Discord's side, planned by a test."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from tests.servers.discord.world import Json


class Refusal(Exception):
    """An answer that is an error: status, Discord's code and what it says."""

    def __init__(self, status: int, code: int, says: str) -> None:
        super().__init__(says)
        self.status, self.code = status, code

    def response(self) -> web.Response:
        """As Discord sends it."""
        return answered({"code": self.code, "message": str(self)}, self.status)


@dataclass
class Trouble:
    """Answers the next `times` requests whose route's name matches, in place of the server."""

    route: str  # regular expression on "METHOD /path/{as described}"
    status: int
    body: Json | str
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    only_files: bool = False  # requests that upload something

    def meets(self, name: str, has_files: bool) -> bool:
        """Whether this is the request to trouble; counts."""
        if not self.times or not re.search(self.route, name) or (self.only_files and not has_files):
            return False
        self.times -= 1
        return True

    def response(self) -> web.Response:
        """The answer."""
        return answered(self.body, self.status, self.headers)


def too_fast(route: str, retry_after_s: float | None, via: bool = True, times: int = 1, **more: bool) -> Trouble:
    """429, as from Discord (`via`) or from what stands before it, with or without a word on how long."""
    body: Json = {"message": "You are being rate limited.", "global": more.pop("everywhere", False), "code": 0}
    headers = {"Via": "1.1 google"} if via else {}
    if retry_after_s is not None:
        body["retry_after"] = retry_after_s
        headers["Retry-After"] = str(max(1, round(retry_after_s)))
    return Trouble(route, 429, body, headers, times, **more)


def cloudflare(route: str, retry_after_s: int, times: int = 1) -> Trouble:
    """429 with a page, as Cloudflare answers before Discord hears of it."""
    headers = {"Content-Type": "text/html", "Retry-After": str(retry_after_s), "Server": "cloudflare"}
    return Trouble(route, 429, "<html>error code: 1015</html>", headers, times)


def answered(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON exactly as Discord labels it: without a charset."""
    # `json_response` would add one, and discord.py then does not parse it.
    kind = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(body).encode(), status=status, headers={**kind, **(headers or {})})
