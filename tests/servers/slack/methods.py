"""The methods of the Web API that the server knows, and what each takes.

Arguments are checked against this table always, and against Slack's own description of its Web API where that is at
hand (DARKROOM_SLACK_SPEC, else beside the checkout). It dates from 2021, so what is newer is named in NEWER.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

Json = dict[str, Any]

SPEC = Path(
    os.environ.get("DARKROOM_SLACK_SPEC") or Path(__file__).parents[3] / "../shared/data/specs/slack-web-openapi.json"
)


@dataclass(frozen=True)
class Method:
    """What a method needs and takes, and the scope without which it is refused."""

    needs: str = ""
    takes: str = ""
    scope: str = ""
    json: bool = True  # whether it takes a JSON body; the others take forms and query strings only


_MESSAGE = "text blocks thread_ts link_names parse metadata"
METHODS = {
    "auth.test": Method(takes="team_id"),  # bolt tells the team with the first event
    "apps.connections.open": Method(),
    "chat.postMessage": Method("channel", f"{_MESSAGE} mrkdwn unfurl_links unfurl_media reply_broadcast", "chat:write"),
    "chat.update": Method("channel ts", f"{_MESSAGE} reply_broadcast".replace("thread_ts ", ""), "chat:write"),
    "chat.delete": Method("channel ts", scope="chat:write"),
    "chat.postEphemeral": Method("channel user", _MESSAGE.replace(" metadata", ""), "chat:write"),
    "conversations.history": Method(
        "channel", "oldest latest inclusive limit cursor include_all_metadata", "channels:history", json=False
    ),
    "conversations.replies": Method(
        "channel ts", "oldest latest inclusive limit cursor include_all_metadata", "channels:history", json=False
    ),
    "conversations.open": Method("users", "return_im", "im:write"),
    "conversations.info": Method("channel", "include_locale include_num_members", "channels:read", json=False),
    "users.info": Method("user", "include_locale", "users:read", json=False),
    "usergroups.list": Method("", "include_users include_count include_disabled", "usergroups:read", json=False),
    "views.open": Method("trigger_id view"),
    "views.update": Method("view", "view_id external_id hash"),
    "views.publish": Method("user_id view", "hash"),
    "files.getUploadURLExternal": Method("filename length", "alt_txt snippet_type", "files:write", json=False),
    "files.completeUploadExternal": Method(
        "files", "channel_id channels thread_ts initial_comment blocks", "files:write"
    ),
    "files.delete": Method("file", scope="files:write"),
    "files.info": Method("file", "count page limit cursor", "files:read", json=False),
}
NEWER = {"team_id", "metadata", "include_all_metadata", "include_num_members"} | set(_MESSAGE.split())
STRUCTURES = {"blocks", "view", "metadata", "files"}  # JSON inside an argument


def problems(method: str, given: Json, as_json: bool) -> list[str]:
    """What is wrong with the arguments of a call."""
    known = METHODS[method]
    needs, takes = set(known.needs.split()), set(known.takes.split())
    found = [f"{name} is missing" for name in sorted(needs - given.keys())]
    found += [f"there is no argument {name}" for name in sorted(given.keys() - needs - takes)]
    found += ["it takes no JSON body"] if as_json and not known.json else []
    schema = official(method)
    if schema:
        plain = {name: _as_text(value) for name, value in given.items() if name not in NEWER - schema["known"]}
        found += [e.message[:200] for e in Draft4Validator(schema["schema"]).iter_errors(plain)]
    return [f"{method}: {problem}" for problem in found]


@cache
def official(method: str) -> Json | None:
    """Slack's own description of a method's arguments as a JSON schema; None for those that it does not have."""
    paths = json.loads(SPEC.read_text())["paths"] if SPEC.exists() else {}
    for operation in paths.get(f"/{method}", {}).values():
        parameters = [p for p in operation["parameters"] if p["name"] != "token"]
        properties = {p["name"]: _as_written(p["type"]) for p in parameters}
        schema = {
            "type": "object",
            "properties": properties,
            "required": [p["name"] for p in parameters if p.get("required")],
            "additionalProperties": False,
        }
        return {"schema": schema if schema["required"] else _without_required(schema), "known": properties.keys()}
    return None


def _without_required(schema: Json) -> Json:
    """Draft 4 has no empty list of required properties."""
    return {name: value for name, value in schema.items() if name != "required"}


def _as_written(kind: str) -> Json:
    """What a parameter of this type looks like in a form, where everything is text."""
    patterns = {"boolean": "^(true|false|0|1)$", "integer": r"^-?\d+$", "number": r"^-?\d+(\.\d+)?$"}
    return {"type": "string", **({"pattern": patterns[kind]} if kind in patterns else {})}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
