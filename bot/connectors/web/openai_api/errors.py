"""Errors of the API in OpenAI's form: https://platform.openai.com/docs/guides/error-codes."""

from typing import Any

from aiohttp import web

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
RETRY_AFTER_S = "5"


class ApiError(Exception):
    """A request that is refused, or an answer that failed: an HTTP status, and a sentence for the person."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, final: bool = False) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.final = final  # OpenAI's clients try 409, 429 and 5xx again by themselves, unless they are told not to

    def as_json(self) -> dict[str, Any]:
        """The body, which is also the last event of a stream that fails."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> web.Response:
        """The error as a response."""
        headers = {"x-should-retry": "false"} if self.final else {}
        if self.status in (429, 503) and not self.final:
            headers["Retry-After"] = RETRY_AFTER_S
        return web.json_response(self.as_json(), status=self.status, headers=headers)
