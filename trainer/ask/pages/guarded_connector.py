"""Connections to addresses that the guard has checked, and to no others: a name is resolved once for each."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from trainer.ask.pages.address_guard import AllowedHosts, Target, checked_address
from trainer.ask.pages.errors import AddressRefused

CONNECTIONS = 32


class GuardedResolver(AbstractResolver):
    """Resolves names by another resolver, and refuses a name as soon as one of its addresses is not allowed.

    aiohttp connects to what this returns, so a name that resolves otherwise a moment later (DNS rebinding) gains
    nothing. Hosts that are addresses are not resolved: `checked_target` has checked those.
    """

    def __init__(self, allowed: AllowedHosts, resolver: AbstractResolver) -> None:
        self._allowed, self._resolver = allowed, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a host, all of them checked; raises AddressRefused, and OSError where there are none."""
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            checked_address(Target("", host, port), result["host"], self._allowed)
        return results

    async def close(self) -> None:
        """Close the other resolver."""
        await self._resolver.close()


def guarded_connector(allowed: AllowedHosts, resolver: AbstractResolver) -> aiohttp.TCPConnector:
    """A connector whose names go through the guard at every connection."""
    return aiohttp.TCPConnector(
        resolver=GuardedResolver(allowed, resolver), use_dns_cache=False, limit=CONNECTIONS, limit_per_host=4
    )


def check_peer(response: aiohttp.ClientResponse, target: Target, allowed: AllowedHosts) -> None:
    """Check the address that a connection really has, before anything of an answer is read; raises AddressRefused."""
    transport = response.connection.transport if response.connection else None
    peer = transport.get_extra_info("peername") if transport else None
    if peer is None:  # a short answer is over already; its address was checked before it was connected to
        return
    if not isinstance(peer, tuple):
        raise AddressRefused("has an address that is not valid")
    checked_address(target, str(peer[0]), allowed)
