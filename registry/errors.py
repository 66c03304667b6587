"""What can go wrong, as the caller is told it.

A service or selector raises one of these; the API renders it as RFC 9457 problem+json, the pages as
a sentence, the gateway as OpenAI's error object. Messages name the field and the next step.
No Django, no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

R = TypeVar("R")


class RegistryError(Exception):
    """A refusal with a stable `code`, an HTTP `status` and the `param` that it is about.

    `errors` holds one ``{"param", "code", "message"}`` for each thing that is wrong, `allowed` the
    states that a refused transition could have gone to from the present one, `details` what else the
    answer holds (such as the `verdict` of a gate).
    """

    status = 400
    code = "bad_request"
    title = "Bad request"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        errors: Sequence[dict[str, Any]] = (),
        allowed: Sequence[str] | None = None,
        retry_after: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.errors = list(errors)
        self.allowed = None if allowed is None else list(allowed)
        self.retry_after = retry_after
        self.details = dict(details or {})


class Malformed(RegistryError):
    """The request can't be read at all (broken JSON, a bad cursor)."""


class Unauthenticated(RegistryError):
    status, code, title = 401, "unauthenticated", "Not signed in"


class Forbidden(RegistryError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(RegistryError):
    """It is missing, or it is another team's: both look the same."""

    status, code, title = 404, "not_found", "Not found"


class NotAllowed(RegistryError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class Conflict(RegistryError):
    status, code, title = 409, "conflict", "Conflict with the current state"


class PreconditionFailed(RegistryError):
    status, code, title = 412, "precondition_failed", "The object has changed"


class TooLarge(RegistryError):
    status, code, title = 413, "too_large", "Too large"


class UnsupportedMedia(RegistryError):
    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class OutOfRange(RegistryError):
    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"


class Invalid(RegistryError):
    status, code, title = 422, "invalid", "Validation failed"

    @classmethod
    def at(cls, param: str | None, code: str, message: str) -> Invalid:
        """One thing is wrong, and its own `code` says what."""
        return cls(message, param=param, errors=[fault(param, code, message)])


class PreconditionRequired(RegistryError):
    status, code, title = 428, "precondition_required", "If-Match is required"


class RateLimited(RegistryError):
    status, code, title = 429, "rate_limited", "Too many requests"


class Unavailable(RegistryError):
    status, code, title = 503, "unavailable", "Temporarily unavailable"


class StorageFull(RegistryError):
    status, code, title = 507, "insufficient_storage", "The store is full"


class Collected:
    """Several checks that must all be made, so that the caller hears of every fault at once."""

    def __init__(self) -> None:
        self.found: list[RegistryError] = []

    def get(self, check: Callable[[], R]) -> R | None:
        """What `check` answers; None where it refuses, which `settle` raises. Lacking rights is raised at once."""
        try:
            return check()
        except (NotFound, Invalid) as error:
            self.found.append(error)
            return None

    def settle(self) -> None:
        """Raise the first refusal, with the faults of all of them."""
        if self.found:
            first = self.found[0]
            first.errors = [fault for error in self.found for fault in faults_of(error)]
            raise first


def fault(param: str | None, code: str, message: str) -> dict[str, Any]:
    """One thing that is wrong, as `errors` holds it."""
    return {"param": param, "code": code, "message": message}


def faults_of(error: RegistryError) -> list[dict[str, Any]]:
    """`errors`, or the refusal itself as the only one."""
    return error.errors or [fault(error.param, error.code, error.message)]


class Fenced(Exception):
    """This attempt no longer owns its job: another one was started, or the job ended. Stop."""
