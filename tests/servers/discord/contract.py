"""The part of Discord's API that a bot of ours uses, and whether a request keeps to Discord's own description of it.

The description is Discord's, MIT, at https://github.com/discord/discord-api-spec, and no part of this project:
DARKROOM_DISCORD_SPEC names the file, else it is looked for beside the checkout. Without it only the routes are held
against what follows, and `tests/bot/connectors/discord/test_setup.py` says so.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

SPEC = Path(
    os.environ.get("DARKROOM_DISCORD_SPEC") or Path(__file__).parents[3] / "../shared/data/specs/discord-openapi.json"
)
WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
CHANNEL = "/channels/{channel_id}"
ROUTES = {
    "/users/@me": ["get"],
    "/users/@me/guilds": ["get"],
    "/users/@me/channels": ["post"],
    "/applications/@me": ["get"],
    "/oauth2/applications/@me": ["get"],
    "/gateway/bot": ["get"],
    "/applications/{application_id}/commands": ["get", "put"],
    "/interactions/{interaction_id}/{interaction_token}/callback": ["post"],
    WEBHOOK: ["post"],
    f"{WEBHOOK}/messages/@original": ["get", "patch", "delete"],
    f"{WEBHOOK}/messages/{{message_id}}": ["get", "patch", "delete"],
    CHANNEL: ["get"],
    "/guilds/{guild_id}/members/{user_id}": ["get"],
    f"{CHANNEL}/messages": ["get", "post"],
    f"{CHANNEL}/messages/{{message_id}}": ["get", "patch", "delete"],
}


@dataclass(frozen=True)
class Route:
    """One operation: its method and path as described, and what the path of a request says."""

    method: str
    path: str
    parts: Mapping[str, str]

    @property
    def name(self) -> str:
        """How handlers and reports call it: `PATCH /channels/{channel_id}/messages/{message_id}`."""
        return f"{self.method} {self.path}"


class Contract:
    """The routes, and the description, strict: what it does not name is refused."""

    def __init__(self) -> None:
        self._spec = _strict(json.loads(SPEC.read_text())) if SPEC.exists() else None
        self._paths = [(re.compile(_pattern(path)), path, methods) for path, methods in ROUTES.items()]

    def route(self, method: str, path: str) -> Route | None:
        """Find the operation that a request means; None if Discord has none such (or we never use it)."""
        for pattern, name, methods in self._paths:
            if (match := pattern.fullmatch(path)) and method.lower() in methods:
                return Route(method, name, match.groupdict())
        return None

    def problems(self, route: Route, query: Mapping[str, str], body: Any) -> Iterator[str]:
        """Say what is wrong with a request: parameters and body (None: there is none)."""
        if not self._spec:
            return
        about = self._spec["paths"][route.path]
        operation = about[route.method.lower()]
        parameters = {p["name"]: p["schema"] for p in [*about.get("parameters", []), *operation.get("parameters", [])]}
        for name, text in {**route.parts, **query}.items():
            if name not in parameters:
                yield f"{name} is no parameter"
            elif wrong := self._wrong(parameters[name], _typed(parameters[name], text)):
                yield f"{name}={text}: {wrong}"
        if "requestBody" not in operation:
            if body is not None:
                yield "a body where none is taken"
        elif wrong := self._wrong(operation["requestBody"]["content"]["application/json"]["schema"], body):
            yield wrong

    def _wrong(self, schema: dict[str, Any], value: Any) -> str:
        assert self._spec
        validator = Draft202012Validator({**schema, "components": self._spec["components"]})
        error = best_match(validator.iter_errors(value))
        return f"{error.json_path}: {error.message[:300]}" if error else ""


@cache
def contract() -> Contract:
    """The contract, read once."""
    return Contract()


def _pattern(path: str) -> str:
    return re.sub(r"\{(\w+)\}", r"(?P<\1>[^/@]+)", path)


def _typed(schema: dict[str, Any], text: str) -> Any:
    if schema.get("type") == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return int(text) if schema.get("type") == "integer" and text.isdigit() else text


def _strict(spec: dict[str, Any]) -> dict[str, Any]:
    """Refuse fields that are not described; take what the description leaves out although Discord takes it."""
    schemas = spec["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
        if {"content", "attachments"} <= schema.get("properties", {}).keys():
            schema["properties"]["tts"] = {"type": "boolean"}  # discord.py says it with every message
    schemas["RichEmbed"]["properties"]["flags"] = {"const": 0}  # and this with every embed
    schemas["SnowflakeType"]["type"] = ["string", "integer"]  # and sends ids as numbers
    return spec
