"""What goes wrong for a caller, with the HTTP status and the words that the caller gets."""

from __future__ import annotations


class EngineError(Exception):
    """A refusal with OpenAI's error shape: status, message, code, and the field to blame if there is one."""

    status = 500
    kind = "InternalServerError"

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after


class BadRequest(EngineError):
    """The body can't be served as it is; the message says which field and what would do."""

    status = 400
    kind = "BadRequestError"


class NotFound(EngineError):
    """No such model or path. Nothing ever falls back to the base."""

    status = 404
    kind = "NotFoundError"


class TooLarge(EngineError):
    """The body has more bytes than the engine reads."""

    status = 413
    kind = "RequestTooLarge"


class BadAdapter(EngineError):
    """The adapter's files can't be served on this base; the message names the tensor or the field."""

    status = 422
    kind = "UnprocessableEntityError"


class QueueFull(EngineError):
    """Too many requests wait; come back after `retry_after` seconds."""

    status = 429
    kind = "RateLimitError"


class Unavailable(EngineError):
    """The engine is ending, or its loop has died."""

    status = 503
    kind = "ServiceUnavailableError"
