"""The photos of a message, also of one that was forwarded, and what else there is in it."""

from collections.abc import Iterator

from bot.connectors.discord.slash_commands import AttachedFile, Json, read_attachment
from bot.photos.declared_type import may_be_photo, spoken_name

VOICE = 1 << 13  # flag of a message that is a voice message


def photos_in(message: Json) -> list[AttachedFile]:
    """The attachments that may be photos, as far as Discord says what they are."""
    parts = [part for part in _parts(message) if not part.get("flags", 0) & VOICE]
    attachments = [one for part in parts for one in part.get("attachments") or []]
    return [read_attachment(one) for one in attachments if may_be_photo(one["filename"], one.get("content_type") or "")]


def others_in(message: Json) -> list[str]:
    """What else is in a message, each thing as it is called in a sentence."""
    return [what for part in _parts(message) for what in _others(part)]


def _parts(message: Json) -> list[Json]:
    """The message itself, and those that it forwards."""
    return [message, *(snapshot["message"] for snapshot in message.get("message_snapshots") or [])]


def _others(part: Json) -> Iterator[str]:
    for one in part.get("attachments") or []:
        kind = one.get("content_type") or ""
        if part.get("flags", 0) & VOICE or "waveform" in one:
            yield "a voice message"
        elif not may_be_photo(one["filename"], kind):
            yield spoken_name(one["filename"], kind)
    if part.get("sticker_items"):
        yield "a sticker"
    if part.get("poll"):
        yield "a poll"
