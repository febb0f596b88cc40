"""The commands as Discord registers them, generated from their forms, and what a person gave when using one."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.arguments.forms import Field
from bot.commands.command import Command
from bot.commands.registry import COMMANDS, PHOTO_KINDS, PLAIN_WORDS
from bot.core.messages import Reply
from storage.contract.base import Record

Json = dict[str, Any]

SLASH, MESSAGE = 1, 3  # kinds of commands
SUBCOMMAND, STRING, INTEGER, ROLE, NUMBER, ATTACHMENT = 1, 3, 4, 8, 10, 11  # kinds of options
KINDS = {"text": STRING, "choice": STRING, "whole": INTEGER, "number": NUMBER}
IN_SERVERS, IN_PRIVATE = 0, 1  # contexts
PHOTOS = 10  # files in one message or form at most
TRAIN_MENU = "Train on these photos"
GROUPS = {
    "documents": "What questions are answered from.",
    "dreambooth": "Learn and manage subjects.",
    "darkroom": "Help, jobs and status.",
}
OWN_NAME = {"ask", "imagine"}  # without a group before it


class AttachedFile(Record):
    """A file that a person attached: where it can be fetched, and its alt text."""

    name: str
    url: str
    caption: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class InvokedCommand:
    """A command as a person gave it."""

    command: Command
    arguments: dict[str, str]
    attached: tuple[AttachedFile, ...]


def discord_name(command: Command) -> str:
    """How a command is called on Discord, where /help would be anybody's."""
    return command.name if " " in command.name or command.name in OWN_NAME else f"darkroom {command.name}"


SPOKEN = {discord_name(command): command for command in COMMANDS.values() if not command.hidden}


def command_definitions() -> list[Json]:
    """Everything to register, as Discord's API takes it."""
    by_name: dict[str, Json] = {}
    for name, command in SPOKEN.items():
        first, _, second = name.partition(" ")
        about = {"description": command.summary, "options": list(_options(command))}
        if second:
            group = by_name.setdefault(first, _command(first, {"description": GROUPS[first], "options": []}))
            group["options"].append({"type": SUBCOMMAND, "name": second, **about})
        else:
            by_name[first] = _command(first, about)
    return [*by_name.values(), _command(TRAIN_MENU, {}, MESSAGE)]


def digest() -> str:
    """Changes when the commands do."""
    return hashlib.sha256(json.dumps(command_definitions(), sort_keys=True).encode()).hexdigest()


def _command(name: str, about: Json, kind: int = SLASH) -> Json:
    # Installed in servers only: what people learn belongs to the place where they did.
    return {"name": name, "type": kind, "contexts": [IN_SERVERS, IN_PRIVATE], "integration_types": [0], **about}


def _options(command: Command) -> Iterator[Json]:
    """Required ones first, as Discord wants them; where a form can ask for the rest, nothing is required."""
    fields = sorted(command.form().fields, key=lambda field: not field.required)
    yield from (_option(field, field.required and not command.takes_photos) for field in fields if field.required)
    if command.takes_photos:
        for number in range(1, PHOTOS + 1):
            yield {"type": ATTACHMENT, "name": f"photo{number}", "description": "A photo; none: a form asks for them."}
    if command.takes_documents:
        for number in range(1, PHOTOS + 1):
            yield {
                "type": ATTACHMENT,
                "name": f"file{number}",
                "description": "A document: PDF, HTML, Markdown or text.",
                "required": number == 1,
            }
    yield from (_option(field, False) for field in fields if not field.required)


def _option(field: Field, required: bool) -> Json:
    kind = ROLE if field.suggest == "groups" else KINDS[field.kind]
    option: Json = {"type": kind, "name": field.name, "description": field.meaning[:100], "required": required}
    if field.choices:
        option["choices"] = [{"name": choice, "value": choice} for choice in field.choices]
    elif field.offers:
        option["choices"] = [{"name": offer.replace("x", " × "), "value": offer} for offer in field.offers]
    elif kind in (INTEGER, NUMBER):
        limits = {"min_value": _limit(field.minimum, kind), "max_value": _limit(field.maximum, kind)}
        option |= {name: limit for name, limit in limits.items() if limit is not None}
    elif kind == STRING and field.longest:
        option["max_length"] = field.longest
    if field.suggest in ("subjects", "jobs"):
        option["autocomplete"] = True
    return option


def _limit(limit: float | None, kind: int) -> float | int | None:
    return int(limit) if limit is not None and kind == INTEGER else limit


def read_command(data: Json) -> InvokedCommand | None:
    """Read a slash command out of an interaction; None if there is none of that name (any more)."""
    name, options = data["name"], data.get("options", [])
    if options and options[0]["type"] == SUBCOMMAND:
        name, options = f"{name} {options[0]['name']}", options[0].get("options", [])
    if name not in SPOKEN:
        return None
    photos = [option["value"] for option in options if option["type"] == ATTACHMENT]
    arguments = {option["name"]: str(option["value"]) for option in options if option["type"] != ATTACHMENT}
    return InvokedCommand(SPOKEN[name], arguments, attached(data, photos))


def attached(data: Json, ids: list[str]) -> tuple[AttachedFile, ...]:
    """The attachments of an interaction with these ids, in their order."""
    known = data.get("resolved", {}).get("attachments", {})
    return tuple(read_attachment(known[i]) for i in ids)


def read_attachment(attachment: Json) -> AttachedFile:
    """One attachment, as Discord describes it."""
    caption = attachment.get("description") or ""
    size_bytes = int(attachment.get("size") or 0)
    return AttachedFile(name=attachment["filename"], url=attachment["url"], caption=caption, size_bytes=size_bytes)


def focused_field(data: Json) -> tuple[Field, str] | None:
    """The field that a person is typing in, and what they typed so far; None if it is unknown."""
    options = data.get("options", [])
    sub = options[0] if options and options[0]["type"] == SUBCOMMAND else None
    name = f"{data['name']} {sub['name']}" if sub else data["name"]
    focused = next((o for o in (sub["options"] if sub else options) if o.get("focused")), None)
    fields = SPOKEN[name].form().fields if name in SPOKEN else ()
    return next(((f, str(focused["value"])) for f in fields if focused and f.name == focused["name"]), None)


def help_reply() -> Reply:
    """What can be asked, as it is called here."""
    facts = {f"/{name}": command.summary for name, command in SPOKEN.items()}
    facts[f"{TRAIN_MENU} (menu of a message, under Apps)"] = "Learn a subject from the photos of that message."
    return Reply(
        text="Send a few photos of something with /dreambooth train, then draw it with /imagine: "
        f"a [rex] dog in Paris. [rex] stands for a subject called rex. {PHOTO_KINDS} {PLAIN_WORDS}",
        facts=facts,
    )
