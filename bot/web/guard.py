"""Who may talk to the local web chat: pages that it served itself, under a name of this machine, and nobody else."""

from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

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


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse, with 403 and a sentence, whatever another web site may have sent through the person's browser.

    A Host of another name means that somebody's DNS points here; a foreign Origin, that another page calls.
    """
    if sentence := _refusal(request):
        return web.Response(status=403, text=sentence)
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Send the security headers with every response, also with errors and streams."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _refusal(request: web.Request) -> str:
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    hosts = {f"{name}:{port}" for name in NAMES}
    host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
    if host not in hosts:
        return f"This chat is for this machine only: open it as http://127.0.0.1:{port}."
    if origin is not None and origin != f"http://{host}":
        return "This chat answers only its own page, not other sites."
    if origin is None and request.method not in ("GET", "HEAD") and not _same_origin(request):
        return "This request does not say that it comes from the chat's own page."
    return ""


def _same_origin(request: web.Request) -> bool:
    """Whether the browser says so; what has neither this header nor an Origin comes from no page of ours."""
    return request.headers.get("Sec-Fetch-Site") == "same-origin"
