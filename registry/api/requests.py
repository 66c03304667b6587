"""Every request has an id: in the answer, in the audit, in the log."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from registry import throttle
from registry.errors import RateLimited

ACCEPTED = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class RequestIdMiddleware:
    """Takes a well-formed `X-Request-Id` of the caller, or makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


def count_failure(request: HttpRequest) -> None:
    """A wrong credential. Raises RateLimited after too many of them in a minute; right ones are taken still."""
    most = settings.FAILURES_PER_MINUTE
    wait = throttle.spend("failure", sender(request), most=most, seconds=throttle.MINUTE)
    if wait:
        text = f"More than {most} wrong credentials a minute came from your address; wait {wait} s."
        raise RateLimited(text, retry_after=wait)


def count_token(who: str) -> None:
    """A token that is about to be made. Raises RateLimited where its maker had too many in an hour."""
    wait = throttle.spend("token", who, most=settings.TOKENS_PER_HOUR, seconds=throttle.HOUR)
    if wait:
        raise RateLimited(
            f"You made {settings.TOKENS_PER_HOUR} tokens within an hour; use them.", retry_after=wait
        )


def sender(request: HttpRequest) -> str:
    """Where the request came from, as our own proxies saw it."""
    peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")
    return throttle.address(peer, forwarded, settings.PROXIES)
