"""With whom a subject is shared, in words, and the place that the words mean."""

from bot.core.messages import PlaceMention
from storage.contract.subjects import Subject

NEWER = "whom a newer version of me lets"  # one that shares in a way that this one does not know
CHANNEL, GROUP = "the channel that it is shared with", "the group that it is shared with"


def audience(subject: Subject) -> str:
    """The audience of a subject in words; a front end may replace the words for a place by its name."""
    words = {
        "private": "nobody else",
        "channel": f"everybody in {CHANNEL if subject.shared_with else 'this channel'}",
        "space": "everybody here",
        "group": f"everybody in {GROUP}",
    }
    return words.get(subject.shared, NEWER)


def place(subject: Subject) -> PlaceMention | None:
    """The channel or group that a subject is shared with, for front ends that can name it."""
    if subject.shared == "channel" and subject.shared_with:
        return PlaceMention(kind="channel", id=subject.shared_with, words=CHANNEL)
    return PlaceMention(kind="group", id=subject.shared_with, words=GROUP) if subject.shared == "group" else None
