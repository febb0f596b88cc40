"""Fetching pages: size and time are bounded while they stream, sites' wishes are honoured, and only texts are kept."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from trainer.ask.pages.address_guard import AllowedHosts
from trainer.ask.pages.errors import PageRefused
from trainer.ask.pages.fetch import FetchedPage, PageFetcher

MAX_BYTES = 100_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def site(**pages: Handler) -> AsyncIterator[tuple[Callable[[str], Awaitable[FetchedPage]], list[str]]]:
    """A site with these pages (`robots` is its robots.txt), a fetcher for them, and what was asked for."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        name = request.path.strip("/").replace("robots.txt", "robots")
        return await pages[name](request) if name in pages else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    fetcher = PageFetcher(AllowedHosts.parse(["127.0.0.1"]), timeout_s=5, max_bytes=MAX_BYTES)
    try:
        yield (lambda path: fetcher.fetch(base + path)), asked
    finally:
        await fetcher.close()
        await runner.cleanup()


def says(text: str | bytes, status: int = 200, **headers: str) -> Handler:
    body = text.encode() if isinstance(text, str) else text
    named = {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=named)

    return handler


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_a_compressed_page_is_unpacked(encoding: str) -> None:
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(b"<p>hello</p>"), "deflate": zlib.compress(b"<p>hello</p>"),
        "raw deflate": raw.compress(b"<p>hello</p>") + raw.flush(),
    }[encoding]  # fmt: skip
    async with site(page=says(packed, Content_Encoding=encoding.split()[-1])) as (fetch, _):
        page = await fetch("/page")
    assert (page.body, page.charset, page.whole) == (b"<p>hello</p>", "utf-8", True)


async def test_a_decompression_bomb_is_cut_off() -> None:
    bomb = gzip.compress(b"<p>" + bytes(200_000_000))
    async with site(page=says(bomb, Content_Encoding="gzip")) as (fetch, _):
        page = await fetch("/page")
    assert len(page.body) == MAX_BYTES and not page.whole


async def test_a_page_without_an_end_is_cut_off() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)

    async with site(page=endless) as (fetch, _):
        page = await fetch("/page")
    assert len(page.body) == MAX_BYTES and not page.whole


async def test_a_page_that_drips_takes_too_long() -> None:
    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.2)

    async with site(page=dripping) as (fetch, _):
        with pytest.raises(PageRefused, match="too long"):
            await fetch("/page")


async def test_a_large_pdf_is_refused_since_half_of_it_is_no_use() -> None:
    async with site(page=says(b"%PDF-1.7" + bytes(MAX_BYTES), Content_Type="application/pdf")) as (fetch, _):
        with pytest.raises(PageRefused, match="too large"):
            await fetch("/page")


@pytest.mark.parametrize(
    ("body", "media_type", "read_as"),
    [(b"<html>x</html>", "", "text/html"), (b"words", "application/octet-stream", "text/plain"),
     (b"%PDF-1.4 x", "text/html", "application/pdf"), (b"# x", "text/markdown", "text/markdown"),
     (b"\x89PNG\r\n\x1a\n\0", "image/png", None), (b"a\0b", "", None), (b"{}", "application/json", None),
     (b"PK", "application/zip", None), (b"x", "video/mp4", None)],
)  # fmt: skip
async def test_only_texts_are_read(body: bytes, media_type: str, read_as: str | None) -> None:
    async with site(page=says(body, Content_Type=media_type)) as (fetch, _):
        if read_as:
            assert (await fetch("/page")).media_type == read_as
        else:
            with pytest.raises(PageRefused, match="not a text"):
                await fetch("/page")


async def test_robots_txt_is_honoured_and_asked_once() -> None:
    rules = "User-agent: *\nDisallow: /private\n\nUser-agent: DarkroomBot\nDisallow: /secret\n"
    pages = {
        "robots": says(rules, Content_Type="text/plain"),
        "page": says("x"),
        "secret": says("x"),
        "private": says("x"),
    }
    async with site(**pages) as (fetch, asked):
        assert (await fetch("/page")).body == b"x"
        assert (await fetch("/private")).body == b"x", "the rules for others are not for us"
        with pytest.raises(PageRefused, match=r"robots\.txt"):
            await fetch("/secret")
    assert asked == ["/robots.txt", "/page", "/private"]


async def test_a_byte_order_mark_does_not_hide_the_first_rule() -> None:
    async with site(robots=says(b"\xef\xbb\xbfUser-agent: *\nDisallow: /"), page=says("x")) as (fetch, _):
        with pytest.raises(PageRefused, match=r"robots\.txt"):
            await fetch("/page")


async def test_pages_of_a_site_that_are_fetched_at_once_ask_for_robots_txt_once() -> None:
    async with site(robots=says("User-agent: *\nDisallow: /private"), page=says("x"), other=says("y")) as (
        fetch,
        asked,
    ):
        await asyncio.gather(fetch("/page"), fetch("/other"), fetch("/page"))
    assert asked.count("/robots.txt") == 1 and len(asked) == 4


@pytest.mark.parametrize(("status", "is_read"), [(404, True), (403, True), (500, False), (503, False)])
async def test_robots_txt_that_is_not_there_forbids_nothing_and_one_that_fails_all(status: int, is_read: bool) -> None:
    async with site(robots=says("User-agent: *\nDisallow: /", status), page=says("x")) as (fetch, _):
        if is_read:
            assert (await fetch("/page")).body == b"x"
        else:
            with pytest.raises(PageRefused, match=r"robots\.txt"):
                await fetch("/page")


async def test_redirects_are_followed_a_few_times_to_allowed_pages() -> None:
    pages = {str(k): says("", 302, Location=f"/{k + 1}#part") for k in range(9)}
    async with site(**pages, end=says("there"), start=says("", 301, Location="end")) as (fetch, asked):
        page = await fetch("/start")
        assert page.body == b"there" and page.url.endswith("/end")
        with pytest.raises(PageRefused, match="without an end"):
            await fetch("/0")
    assert "/7" not in asked


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410, 418, 500])
async def test_an_answer_that_is_no_page_says_why(status: int) -> None:
    async with site(page=says("", status)) as (fetch, _):
        with pytest.raises(PageRefused):
            await fetch("/page")


async def test_no_cookies_are_kept() -> None:
    seen: list[str | None] = []

    async def page(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Cookie"))
        return web.Response(text="x", headers={"Set-Cookie": "who=you"})

    async with site(page=page) as (fetch, _):
        await fetch("/page")
        await fetch("/page")
    assert seen == [None, None]


async def test_a_robots_txt_made_to_take_long_forbids_all() -> None:
    rules = "User-agent: a\n" * 15_000 + "Allow: a\n" * 12_000
    async with site(robots=says(rules, Content_Type="text/plain"), page=says("x")) as (fetch, _):
        with pytest.raises(PageRefused, match=r"robots\.txt"):
            await fetch("/page")
