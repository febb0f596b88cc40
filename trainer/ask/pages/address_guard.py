"""The guard against server-side request forgery (OWASP SSRF): which addresses pages may be fetched from.

Only public addresses are allowed, by IANA's special-purpose registries, also inside addresses that carry another:
IPv4-mapped (RFC 4291), NAT64 (RFC 6052, 8215), 6to4 (RFC 3056) and Teredo (RFC 4380). An operator can allow more.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

from trainer.ask.pages.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "https": 443}
WEB_PORTS = frozenset({80, 443, 8080, 8443})
LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa", "onion")
NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")  # as the last part of a host: WHATWG reads such a host as an IPv4 address
HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 "
        "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 "  # the last is Azure's metadata
        "::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2620:4f:8000::/48 3fff::/20 5f00::/16 "
        "fc00::/7 fe80::/10 fec0::/10 ff00::/8"
    ).split()
)
MAPPED, NAT64, SIX_TO_FOUR = (ipaddress.ip_network(n) for n in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16"))


@dataclass(frozen=True)
class Target:
    """Where a URL leads: what was checked, and what is connected to."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class AllowedHosts:
    """What an operator lets pages be fetched from all the same: names with or without a port, and networks."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, items: Iterable[str]) -> "AllowedHosts":
        """Read `wiki.example`, `wiki.example:8000`, `10.1.2.3` and `10.0.0.0/8`."""
        names, networks = set[str](), list[Network]()
        for item in (each.strip().lower() for each in items):
            try:
                networks.append(ipaddress.ip_network(item, strict=False))
            except ValueError:
                names.add(item)
        return cls(frozenset(names - {""}), tuple(networks))

    def has_host(self, target: Target) -> bool:
        """Whether a host is allowed by its name, or by its address where the URL has that instead."""
        address = _literal(target.host)
        if address:
            return self.has_address(address) or f"{target.host}:{target.port}" in self.names
        return target.host in self.names or f"{target.host}:{target.port}" in self.names

    def has_address(self, address: Address) -> bool:
        """Whether an address is in an allowed network."""
        return any(address in network for network in self.networks)


def checked_target(url: str, allowed: AllowedHosts) -> Target:
    """Where a URL leads, as far as it can be told before its name is resolved; raises AddressRefused."""
    try:
        parts = urlsplit(url)
        host, port = _host(parts.hostname or ""), parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise AddressRefused("has an address that is not valid") from None
    if parts.scheme not in PORTS:
        raise AddressRefused("is not on the web: only http and https are fetched")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("has a user name or password in its address")
    target = Target(parts.scheme, host, port)
    if _literal(host):
        checked_address(target, host, allowed)
    elif not allowed.has_host(target):
        if "." not in host or any(host == name or host.endswith(f".{name}") for name in LOCAL_NAMES):
            raise AddressRefused("is on a private network")
        if port not in WEB_PORTS and not allowed.networks:  # else its address decides, once it is resolved
            raise AddressRefused("is on a port that is not the web's")
    return target


def checked_address(target: Target, text: str, allowed: AllowedHosts) -> Address:
    """An address to which a host resolved; raises AddressRefused unless it is public or allowed."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise AddressRefused("has an address that is not valid") from None
    if allowed.has_host(target) or allowed.has_address(address):
        return address
    if not is_public(address):
        raise AddressRefused("is on a private network")
    if target.port not in WEB_PORTS:
        raise AddressRefused("is on a port that is not the web's")
    return address


def is_address(host: str) -> bool:
    """Whether a host is an address, which nobody resolves."""
    return _literal(host) is not None


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, and so is the one that it may carry.

    >>> is_public(ipaddress.ip_address("::ffff:10.0.0.1")), is_public(ipaddress.ip_address("2606:4700::1111"))
    (False, True)
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return False
        inner = _carried(address)
        if inner is not None:
            return is_public(inner)
    return not any(address in network for network in NOT_PUBLIC if network.version == address.version)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, if it is of a kind that carries one."""
    if address in MAPPED or address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in SIX_TO_FOUR:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return None  # Teredo is refused altogether: it is in 2001::/23


def _host(host: str) -> str:
    """A host in ASCII; raises ValueError for one that different programs read in different ways."""
    host = host.lower()
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    host = host.removesuffix(".")
    if not host.isascii():  # as the client reads it, which connects to it
        host = idna.encode(host, uts46=True).decode()
    if not HOST.fullmatch(host):
        raise ValueError("no host name")
    if NUMBER.fullmatch(host.rpartition(".")[2]):  # 0177.0.0.1, 2130706433, 127.1, 0x7f.1 …
        return str(ipaddress.IPv4Address(host))
    return host


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
