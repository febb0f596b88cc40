"""The bot: translates chats into jobs and outcomes into messages. There is no torch anywhere in it."""

from bot.lazy_imports import import_lazily

import_lazily("jwt")  # by redis, for tokens that nobody here has: it brings all of cryptography, a fifth of a second
