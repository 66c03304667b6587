"""Around the chat API: bodies that are too large, wrong keys without end, what every answer says to browsers.

A right key is always answered, however many wrong ones come from the same address: many may share one.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry import throttle
from registry.errors import RateLimited, RegistryError, TooLarge
from serving.gateway import MOST_BODY_BYTES
from serving.routing import request_id
from serving.schemas import REQUEST_HEADER, error_body

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload"}


class Guard:
    """Around the whole application, so that its errors are covered too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = {**HEADERS, **(HSTS if settings.HTTPS else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wrapped = _Answer(send, self.headers, lambda: _failure(scope))
        asked = Headers(scope=scope)
        length = asked.get("content-length", "0")
        if length.isdecimal() and int(length) > MOST_BODY_BYTES:
            text = f"The body has more than {MOST_BODY_BYTES} bytes; send less."
            await _refusal(TooLarge(text, code="body_too_large"), asked)(scope, receive, wrapped)
            return
        await self.app(scope, receive, wrapped)
        if wrapped.refused is not None:
            wrapped.passing = True
            await _refusal(wrapped.refused, asked)(scope, receive, wrapped)


class _Answer:
    """`send` that adds the headers, and holds back a 401 whose sender had too many."""

    def __init__(self, send: Send, headers: dict[str, str], failed: Any) -> None:
        self.send = send
        self.headers = headers
        self.failed = failed
        self.passing = True
        self.refused: RateLimited | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == 401:
                self.refused = self.failed()
                self.passing = self.refused is None
            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers.setdefault(name, value)
        if self.passing:
            await self.send(message)


def _failure(scope: Scope) -> RateLimited | None:
    """Count a wrong key."""
    peer = (scope.get("client") or ("", 0))[0]
    forwarded = ",".join(
        Headers(scope=scope).getlist("x-forwarded-for")
    )  # a proxy may have added a line of its own
    who = throttle.address(peer, forwarded, settings.PROXIES)
    most = settings.FAILURES_PER_MINUTE
    wait = throttle.spend("failure", who, most=most, seconds=throttle.MINUTE)
    text = f"More than {most} wrong keys a minute came from your address; wait {wait} s."
    return RateLimited(text, retry_after=wait) if wait else None


def _refusal(error: RegistryError, asked: Headers) -> JSONResponse:
    headers = {REQUEST_HEADER: request_id(asked.get(REQUEST_HEADER, ""))}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(error_body(error), error.status, headers)
