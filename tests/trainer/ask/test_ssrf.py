"""Server-side request forgery: whatever a page's address or a redirect says, nothing private is ever connected to."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from trainer.ask.pages.address_guard import AllowedHosts, checked_target, is_public
from trainer.ask.pages.errors import AddressRefused, PageRefused
from trainer.ask.pages.fetch import PageFetcher

PUBLIC = "93.184.215.14"

# `{p}` is the port of a server on this machine's loopback that counts who connects.
ADDRESSES = """
http://127.0.0.1:{p}/ http://127.0.0.1/ http://127.1:{p}/ http://127.0.1:{p}/ http://127.255.255.254:{p}/ http://0:{p}/
http://0.0.0.0:{p}/ http://0x7f.1:{p}/ http://0x7f000001:{p}/ http://0x7F.0x0.0x0.0x1:{p}/ http://2130706433:{p}/
http://017700000001:{p}/ http://0177.0.0.1:{p}/ http://0177.1:{p}/ http://00000177.0.0.01:{p}/ http://127.0.0.1.:{p}/
http://127.000.000.001:{p}/ http://①②⑦.⓪.⓪.①:{p}/ http://127。0。0。1:{p}/ http://[::1]:{p}/ http://[::]:{p}/
http://[0:0:0:0:0:0:0:1]:{p}/ http://[::ffff:127.0.0.1]:{p}/ http://[::ffff:7f00:1]:{p}/ http://[::127.0.0.1]:{p}/
http://[64:ff9b::127.0.0.1]:{p}/ http://[64:ff9b::a00:1]/ http://[64:ff9b:1::a00:1]/ http://[2002:7f00:1::]:{p}/
http://[2002:a00:1::1]/ http://[2002:c0a8:101::]/ http://[2001:0:7f00:1::1]/ http://[fe80::1]/ http://[fe80::1%25eth0]/
http://[fec0::1]/ http://[fc00::1]/ http://[fd00:ec2::254]/ http://[ff02::1]/ http://[100::1]/ http://[2001:db8::1]/
http://[::ffff:0:127.0.0.1]/ http://10.0.0.1/ http://10.255.255.255/ http://172.16.0.1/ http://172.31.255.255/
http://192.168.0.1/ http://192.168.1.1:8080/ http://169.254.169.254/latest/meta-data/ http://169.254.170.2/
http://100.100.100.200/ http://100.64.0.1/ http://168.63.129.16/ http://192.0.0.192/ http://198.18.0.1/ http://224.0.0.1/
http://239.255.255.250/ http://255.255.255.255/ http://240.0.0.1/ http://192.0.2.1/ http://203.0.113.7/
http://localhost:{p}/ http://LOCALHOST:{p}/ http://localhost.:{p}/ http://app.localhost:{p}/ http://localhost.localdomain:{p}/
http://metadata.google.internal/ http://printer.local/ http://router.lan/ http://nas.home.arpa/ http://intranet/
http://user@127.0.0.1:{p}/ http://93.184.215.14@127.0.0.1:{p}/ http://user:secret@public.test/ http://127.0.0.1:{p}#@public.test/
http://public.test:22/ http://public.test:6379/ http://93.184.215.14:25/ http://public.test:0/ http://public.test:99999/
file:///etc/passwd gopher://127.0.0.1:{p}/_x ftp://127.0.0.1/ dict://127.0.0.1:{p}/ data:text/html,hello
javascript:alert(1) unix:///var/run/docker.sock jar:http://127.0.0.1!/ http:///etc/passwd http://[:]/ http://exa%6dple\\@127.0.0.1:{p}/
//127.0.0.1/
""".split()  # fmt: skip
NAMES = {  # what resolvers say of names that look harmless
    "private.test": ["10.1.2.3"],
    "loopback.test": ["127.0.0.1"],
    "localtest.me": ["127.0.0.1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "sixtofour.test": ["2002:7f00:1::"],
    "unspecified.test": ["0.0.0.0"],
    "half.test": [PUBLIC, "127.0.0.1"],
    "other-half.test": ["127.0.0.1", PUBLIC],
    "link-local.test": ["fe80::1%1"],
    "nonsense.test": ["not an address"],
}


class ScriptedResolver(AbstractResolver):
    """Says of each name what is written down for it; of a list of lists, one list after the other."""

    def __init__(self, names: dict[str, list[str]], then: dict[str, list[str]] | None = None) -> None:
        self.names, self.then = dict(names), then or {}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self.names[host]
        if host in self.then:
            self.names[host] = self.then[host]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, proto=0, flags=0,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            )
            for address in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is open."""


class Victim:
    """A server on the loopback that nobody may reach but by allowed names; it redirects where it is told."""

    def __init__(self) -> None:
        self.port, self.requests = 0, list[str]()
        self.locations: dict[str, str] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.requests.append(path)
        if path in self.locations:
            answer = f"HTTP/1.1 302 Found\r\nLocation: {self.locations[path]}\r\nContent-Length: 0\r\n"
        elif path == "/robots.txt":
            answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
        else:
            answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n"
        body = "secret" if answer.startswith("HTTP/1.1 200") else ""
        writer.write(f"{answer}Connection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def victim() -> AsyncIterator[Victim]:
    served = Victim()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    async with server:
        yield served


@asynccontextmanager
async def fetcher(resolver: AbstractResolver, *allowed: str) -> AsyncIterator[PageFetcher]:
    opened = PageFetcher(AllowedHosts.parse(allowed), timeout_s=10, resolver=resolver)
    try:
        yield opened
    finally:
        await opened.close()


def test_the_set_is_large_enough() -> None:
    assert len(set(ADDRESSES)) + len(NAMES) >= 60


async def test_no_address_of_the_set_is_fetched() -> None:
    resolver = ScriptedResolver({"public.test": ["127.0.0.1"], "app.localhost": ["127.0.0.1"]})
    fetched = []
    async with victim() as server, fetcher(resolver) as pages:
        for address in ADDRESSES:
            url = address.replace("{p}", str(server.port))
            try:
                await pages.fetch(url)
                fetched.append(url)
            except PageRefused:
                pass
    assert (fetched, server.requests) == ([], [])
    assert not {name for name in resolver.asked if name != "public.test"}, "private names are not even looked up"


async def test_no_name_that_resolves_to_a_private_address_is_fetched() -> None:
    async with victim() as server, fetcher(ScriptedResolver(NAMES)) as pages:
        for name in NAMES:
            with pytest.raises(PageRefused):
                await pages.fetch(f"http://{name}:8080/")
            with pytest.raises(AddressRefused):
                await pages.fetch(f"http://{name}/")
    assert server.requests == []


async def test_no_redirect_leads_to_an_address_of_the_set() -> None:
    """The first host is allowed, as an intranet's wiki might be; where it redirects to is not."""
    resolver = ScriptedResolver({**NAMES, "wiki.test": ["127.0.0.1"], "public.test": ["127.0.0.1"]})
    absolute = [address for address in ADDRESSES if "://" in address and ":///" not in address]  # others lead back
    targets = absolute + [f"http://{name}/secret" for name in NAMES]
    async with victim() as server, fetcher(resolver, "wiki.test") as pages:
        for number, target in enumerate(targets):
            server.locations[f"/{number}"] = target.replace("{p}", str(server.port))
            with pytest.raises(PageRefused):
                await pages.fetch(f"http://wiki.test:{server.port}/{number}")
        assert set(server.requests) <= {"/robots.txt", *(f"/{number}" for number in range(len(targets)))}


async def test_a_name_that_resolves_otherwise_the_second_time_gains_nothing() -> None:
    """DNS rebinding: harmless when it is looked at, private when it is connected to."""
    names = {"rebind.test": [PUBLIC], "back.test": ["127.0.0.1"]}
    resolver = ScriptedResolver(names, then={"rebind.test": ["127.0.0.1"], "back.test": [PUBLIC]})
    async with victim() as server, fetcher(resolver) as pages:
        for name in names:
            for _ in range(3):
                with pytest.raises(PageRefused):
                    await asyncio.wait_for(pages.fetch(f"http://{name}:8080/"), 60)
    assert server.requests == []


async def test_what_an_operator_allows_is_fetched_and_nothing_else() -> None:
    resolver = ScriptedResolver({"wiki.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    async with victim() as server:
        url = f"http://wiki.test:{server.port}/page"
        for allowed in ("wiki.test", f"wiki.test:{server.port}", "127.0.0.0/8"):
            async with fetcher(resolver, allowed) as pages:
                assert (await pages.fetch(url)).body == b"secret"
        async with fetcher(resolver, "127.0.0.1") as pages:
            assert (await pages.fetch(f"http://127.0.0.1:{server.port}/")).body == b"secret"
        seen = len(server.requests)
        for allowed in ("wiki.test:1", "test", "10.0.0.0/8", "other.test"):
            async with fetcher(resolver, allowed) as pages:
                with pytest.raises(AddressRefused):
                    await pages.fetch(url)
        assert len(server.requests) == seen


async def test_what_robots_txt_redirects_to_is_checked_too() -> None:
    resolver = ScriptedResolver({"wiki.test": ["127.0.0.1"]})
    async with victim() as server, fetcher(resolver, "wiki.test") as pages:
        server.locations["/robots.txt"] = "http://169.254.169.254/robots.txt"
        with pytest.raises(AddressRefused):
            await pages.fetch(f"http://wiki.test:{server.port}/page")
        assert server.requests == ["/robots.txt"]


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_as_public_as_by_itself(address: IPv4Address) -> None:
    number = int(address)
    for outer in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert is_public(IPv6Address(outer)) == is_public(address)


@given(st.text(max_size=60))
def test_any_text_is_a_target_on_the_web_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}/"):
        try:
            target = checked_target(url, AllowedHosts())
        except AddressRefused:
            continue
        assert target.scheme in ("http", "https") and target.port in (80, 443, 8080, 8443)
        assert "." in target.host or ":" in target.host
