"""A rate limit of Cloudflare's, which counts everything that comes from our address: no request is made while it lasts.

discord.py waits for Discord's own limits, which come with a `Via` header, and raises those that stand before Discord.
Asking again meanwhile makes them longer.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import discord

from bot.delivery.error_classes import parse_retry_after

log = logging.getLogger(__name__)


class RateLimitGate:
    """Refuses requests until a rate limit of all of them is over; notices where the bot's token is refused."""

    def __init__(self) -> None:
        self.token_refused = asyncio.Event()
        self._closed_until_s = 0.0  # by the event loop's clock

    def trace(self, user_agent: Callable[[], str]) -> aiohttp.TraceConfig:
        """What to let aiohttp tell of every request, of the gateway's too, each of which says what we are.

        Discord asks for that, and discord.py's requests with an interaction's token do not do it by themselves.
        """

        async def start(_: Any, __: Any, request: aiohttp.TraceRequestStartParams) -> None:
            request.headers.setdefault("User-Agent", user_agent())
            # Raised here and not slept away: whoever asked knows whether it can wait, and an acknowledgement cannot.
            if (left_s := self._closed_until_s - asyncio.get_running_loop().time()) > 0:
                raise discord.RateLimited(left_s)

        async def end(_: Any, __: Any, request: aiohttp.TraceRequestEndParams) -> None:
            self._close_for(request.response)
            if request.response.status == 401 and request.headers.get("Authorization", "").startswith("Bot "):
                self.token_refused.set()

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(start)
        trace.on_request_end.append(end)
        return trace

    def _close_for(self, response: aiohttp.ClientResponse) -> None:
        """Close for as long as an answer asks that is not Discord's own."""
        # Discord's own limits are per route, and discord.py waits for them by itself.
        if response.status != 429 or ("Via" in response.headers and response.content_type == "application/json"):
            return
        if delay_s := parse_retry_after(response.headers.get("Retry-After")):
            log.warning("%s asks us to make no request for %.0f s", response.url.host, delay_s)
            self._closed_until_s = max(self._closed_until_s, asyncio.get_running_loop().time() + delay_s)
