"""HTTP mode: signed requests to the address that the bot listens at."""

import json
import time
from urllib.parse import urlencode

import aiohttp
from slack_sdk.signature import SignatureVerifier

from tests.servers.slack.workspace import SIGNING_SECRET, Json


class SignedHttp:
    """Sends what people do to one address, as Slack does."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def send(self, kind: str, payload: Json) -> Json:
        """Hand over a payload; return what the bot answered. AssertionError if it is not accepted."""
        status, body = await self.post(kind, payload)
        assert status == 200, f"{kind} was answered with {status}: {body}"
        return json.loads(body) if body.startswith("{") else {}

    async def post(
        self, kind: str, payload: Json, secret: str = SIGNING_SECRET, age_s: int = 0, retry: int = 0
    ) -> tuple[int, str]:
        """Send a payload with any signature; return status and body."""
        content_type, body = _encoded(kind, payload)
        timestamp = str(int(time.time()) - age_s)
        headers = {
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body) or "",
        }
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"}
        async with aiohttp.ClientSession() as session, session.post(self.url, data=body, headers=headers) as answer:
            return answer.status, await answer.text()


def _encoded(kind: str, payload: Json) -> tuple[str, str]:
    if kind == "events_api":
        return "application/json", json.dumps(payload)
    form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
    return "application/x-www-form-urlencoded", urlencode(form)
