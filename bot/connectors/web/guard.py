"""Protection against CSRF and DNS rebinding: only pages that the local web chat served itself may talk to it.

Names of this machine count with any port, since a port forward has one of its own. A page elsewhere cannot use that: a
browser names in Origin the page that calls, and in Host the name that was called, and these must be the same.
Programs that use the API have no page; what they send, no page elsewhere can.
"""

import re
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

SONAR_PATH = "/chat/completions"  # Perplexity's clients know no /v1
NAMES = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    # Everything comes from here, as files: nothing inline, nothing from elsewhere. Thumbnails of photos are blobs.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def guard(hosts: Collection[str] = ()) -> Middleware:
    """Refuse, with 403 and a sentence, whatever another web site may have sent through the person's browser.

    A Host of another name means that somebody's DNS points here; a foreign Origin, that another page calls. `hosts` are
    further names, each with a port or for all ports, under which a proxy or another machine may reach the chat.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if sentence := _refusal(request, hosts):
            return web.Response(status=403, text=sentence)
        return await handler(request)

    return middleware


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Send the security headers with every response, also with errors and streams."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _refusal(request: web.Request, hosts: Collection[str]) -> str:
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    host, origin = request.headers.get("Host", "").lower(), request.headers.get("Origin")
    if not _is_among(host, (*NAMES, *hosts)):
        return (
            f"This chat is for this machine only: open it as http://127.0.0.1:{port}. "
            "Other names have to be in DARKROOM_HOSTS."
        )
    if origin is not None and not _is_own(origin.lower(), host, hosts):
        return "This chat answers only its own page, not other sites."
    if origin is None and request.method not in ("GET", "HEAD") and not (_same_origin(request) or _is_program(request)):
        return "This request does not say that it comes from the chat's own page."
    return ""


def _is_among(host: str, names: Collection[str]) -> bool:
    """Whether a host, with or without a port, is one of these names."""
    return host in names or re.sub(r":[0-9]+$", "", host) in names


def _is_own(origin: str, host: str, hosts: Collection[str]) -> bool:
    """Whether an origin is the page's own; a proxy may have put another name into Host than the browser called."""
    scheme, _, called = origin.partition("://")
    return scheme in ("http", "https") and (called == host or _is_among(called, hosts))


def _same_origin(request: web.Request) -> bool:
    """Whether the browser says so; what has neither this header nor an Origin comes from no page of ours."""
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


def _is_program(request: web.Request) -> bool:
    """Whether this is a call of the API by a program, and not by a page.

    A browser says with every POST where it comes from, and sends JSON to another site only once that has agreed.
    """
    is_json = request.content_type == "application/json"
    return request.path.startswith(("/v1/", SONAR_PATH)) and is_json and "Sec-Fetch-Site" not in request.headers
