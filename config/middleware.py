"""What every answer of the web process says to browsers, how much it may be sent, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from registry.errors import TooLarge

MACHINES = ("/api/", "/hf/")  # what programs call: their errors are JSON
PERMISSIONS = (
    "camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(),"
    " payment=(), serial=(), usb=()"
)
WAIT_SECONDS = 60  # most limits of the sign-in are by the minute
TURNS = 2  # requests that a process works on at a time
TURN_SECONDS = 0.1
FRAME = 1024 * 1024  # what the multipart around files may add

Answer = Callable[[HttpRequest], HttpResponse]


class TurnsMiddleware:
    """A few requests at a time: the threads of a process share one interpreter, and the more of them want it, the
    more often they take it from each other. Eight at once cost each half as much processor time again.

    Nobody waits long: a request may itself wait for a store or a slow sender, and that is no work.
    A large body, or one that is streamed, takes no turn.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        self.turns = BoundedSemaphore(TURNS)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        large = _sent(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        has_turn = not large and self.turns.acquire(timeout=TURN_SECONDS)
        try:
            return self.get_response(request)
        finally:
            if has_turn:
                self.turns.release()


class HeadersMiddleware:
    """Those that no other middleware sets, unless the view knew better."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Permissions-Policy", PERMISSIONS)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        # Asked for again each time (an ETag spares the bytes), and by no cache kept for other people.
        response.setdefault("Cache-Control", "private, no-cache")
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            response.setdefault("Retry-After", str(WAIT_SECONDS))
        return response


class BodyLimitMiddleware:
    """Refuses, unread, what is too large for a page; the API's views measure theirs.

    A page that takes files says so by `takes_files`, which answers those who may not send it any. It is asked
    before anything is read of them, the token of the form included.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Answer, _args: Any, where: dict[str, Any]
    ) -> HttpResponse | None:
        sent, most = _sent(request), settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if request.path.startswith(MACHINES) or sent <= most:
            return None
        heard: Callable[..., HttpResponse | None] | None = getattr(view, "takes_files", None)
        if heard is None or request.method != "POST":
            return too_large(request, most)
        if sent > settings.MAX_UPLOAD_BYTES + FRAME:
            return too_large(request, settings.MAX_UPLOAD_BYTES)
        return heard(request, **where)


def _sent(request: HttpRequest) -> int:
    """The length of its body in bytes, as the sender says it; 0 where it doesn't."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdecimal() else 0


def too_large(request: HttpRequest, most: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE) -> HttpResponse:
    """A page that may be shown to anybody: who asks is not known yet."""
    error = TooLarge(f"At most {most:,} bytes can be sent here.")
    return render(request, "413.html", {"error": error}, status=error.status)
