"""Sentences of the help that all chats say."""

from bot.photos.file_types import NAMES

PHOTO_KINDS = f"Photos may be {NAMES}, and have to be still pictures."
PLAIN_WORDS = "Weights like (word:1.3), BREAK and wildcards are not understood yet: they are read as plain words."
