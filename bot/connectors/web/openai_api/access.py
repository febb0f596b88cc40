"""Who may use the API: programs on this machine, and elsewhere those with its key."""

import hmac

from aiohttp import web

from bot.connectors.web.openai_api.errors import ApiError
from storage.settings.bot import BotSettings

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")  # what proxies add


def check_access(request: web.Request, settings: BotSettings) -> None:
    """Raise ApiError for who may not: without a key that is set, or from elsewhere where none is."""
    if settings.api_key:
        sent = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(sent, f"Bearer {settings.api_key.get_secret_value()}".encode()):
            raise ApiError(401, "The API key is missing or wrong.", "invalid_api_key")
    elif settings.host_names or any(name in request.headers for name in FORWARDED):
        # A proxy may call us by our own name, so the name alone does not tell that a client is on this machine.
        sentence = "The API is closed to other machines. Whoever runs this has to set DARKROOM_API_KEY."
        raise ApiError(403, sentence, "api_closed")
