"""How a request becomes a message: its parts replaced, its files kept, its limits checked, its pings counted."""

import re
from collections.abc import Iterator, Sequence

from tests.servers.discord.faults import Refusal
from tests.servers.discord.files import Cdn, File
from tests.servers.discord.world import LOADING, Json, Message

FILE_BYTES, MESSAGE_BYTES = 10 * 2**20, 25 * 2**20
TEXT, EMBEDS = 2000, 6000  # characters: a message of a bot, all of its embeds


def say(message: Message, payload: Json, files: Sequence[File], cdn: Cdn) -> None:
    """Make a message say what a request says; what the request leaves out stays."""
    message.content = (payload["content"] or "") if "content" in payload else message.content
    message.embeds = (payload["embeds"] or []) if "embeds" in payload else message.embeds
    message.components = (payload["components"] or []) if "components" in payload else message.components
    message.attachments = list(_attachments(message, payload, files, cdn))
    message.flags &= ~LOADING
    message.pings += list(_pings(message.content, payload.get("allowed_mentions")))
    if problem := next(_too_much(message, files), ""):
        raise Refusal(400, 50035, f"Invalid Form Body: {problem}")
    if not (message.content or message.embeds or message.attachments or message.components):
        raise Refusal(400, 50006, "Cannot send an empty message")


def _attachments(message: Message, payload: Json, files: Sequence[File], cdn: Cdn) -> Iterator[Json]:
    kept = {a["id"]: a for a in message.attachments}
    if "attachments" not in payload:
        yield from message.attachments
    described = {str(a["id"]): a for a in payload.get("attachments") or []}
    for number, file in enumerate(files):
        file.description = described.pop(str(number), {}).get("description")
        yield cdn.add(file, message.channel.id)
    for attachment in described:
        if attachment not in kept:
            raise Refusal(400, 50035, f"Invalid Form Body: attachments: {attachment} is not there")
        yield kept[attachment]


def _pings(content: str, allowed: Json | None) -> Iterator[str]:
    # Without allowed_mentions, everything that is written rings.
    parse = ["users", "roles", "everyone"] if allowed is None else allowed.get("parse") or []
    for user in re.findall(r"<@!?(\d+)>", content):
        if "users" in parse or user in [str(u) for u in (allowed or {}).get("users") or []]:
            yield user
    if "roles" in parse:
        yield from re.findall(r"<@&(\d+)>", content)
    if "everyone" in parse:
        yield from re.findall(r"@(?:everyone|here)", content)


def _too_much(message: Message, files: Sequence[File]) -> Iterator[str]:
    if len(message.content) > TEXT:
        yield f"content: {len(message.content)} characters"
    if sum(map(_length, message.embeds)) > EMBEDS:
        yield "embeds: too long together"
    if len(message.attachments) > 10:
        yield "attachments: more than 10"
    if any(len(file.data) > FILE_BYTES for file in files) or sum(len(file.data) for file in files) > MESSAGE_BYTES:
        raise Refusal(413, 40005, "Request entity too large")
    ids = [control["custom_id"] for control in message.controls if "custom_id" in control]
    if len(ids) != len(set(ids)):
        yield "components: custom_id cannot be duplicated"
    if any(len(row["components"]) > 5 for row in message.components) or len(message.components) > 5:
        yield "components: more than five rows of five"


def _length(embed: Json) -> int:
    fields = sum(len(f["name"]) + len(f["value"]) for f in embed.get("fields") or [])
    return len(embed.get("title") or "") + len(embed.get("description") or "") + fields
