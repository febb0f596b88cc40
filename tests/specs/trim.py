"""Trim Discord's OpenAPI description to what a bot of ours sends: `python -m tests.specs.trim discord-openapi.json`.

The whole description is at https://github.com/discord/discord-api-spec under the MIT licence, as its `info.license`
says. Here stay the routes that the client may use, their parameters and request bodies, and every schema that these
name; answers are left out.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SPEC = Path(__file__).with_name("discord.json")
APPLICATION = "/applications/{application_id}"
WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
CHANNEL = "/channels/{channel_id}"
ROUTES = {
    "/users/@me": ["get"],
    "/users/@me/guilds": ["get"],
    "/users/@me/channels": ["post"],
    "/applications/@me": ["get"],
    "/oauth2/applications/@me": ["get"],
    "/gateway/bot": ["get"],
    f"{APPLICATION}/commands": ["get", "put"],
    "/interactions/{interaction_id}/{interaction_token}/callback": ["post"],
    WEBHOOK: ["post"],
    f"{WEBHOOK}/messages/@original": ["get", "patch", "delete"],
    f"{WEBHOOK}/messages/{{message_id}}": ["get", "patch", "delete"],
    CHANNEL: ["get"],
    f"{CHANNEL}/messages": ["get", "post"],
    f"{CHANNEL}/messages/{{message_id}}": ["get", "patch", "delete"],
}


def trim(whole: dict[str, Any]) -> dict[str, Any]:
    """Keep the routes, without their answers, and the schemas that they name."""
    paths = {path: _route(whole["paths"][path], methods) for path, methods in ROUTES.items()}
    schemas: dict[str, Any] = {}
    wanted = list(_names(paths))
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = whole["components"]["schemas"][name]
            wanted += _names(schemas[name])
    kept = {name: whole[name] for name in ("openapi", "info", "externalDocs")}
    return {**kept, "paths": paths, "components": {"schemas": dict(sorted(schemas.items()))}}


def _route(route: dict[str, Any], methods: list[str]) -> dict[str, Any]:
    kept = {m: {k: v for k, v in route[m].items() if k in ("parameters", "requestBody")} for m in methods}
    return {"parameters": route.get("parameters", []), **kept}


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].removeprefix("#/components/schemas/")
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _names(part)


if __name__ == "__main__":
    SPEC.write_text(json.dumps(trim(json.loads(Path(sys.argv[1]).read_text())), separators=(",", ":")) + "\n")
