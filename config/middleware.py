"""What every answer of the web process says to browsers, how much it may be sent, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from threading import BoundedSemaphore

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from registry.api import errors
from registry.errors import TooLarge

MACHINES = ("/api/", "/hf/")  # what programs call: their errors are JSON
PERMISSIONS = (
    "camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(),"
    " payment=(), serial=(), usb=()"
)
WAIT_SECONDS = 60  # most limits of the sign-in are by the minute
TURNS = 2  # requests that a process works on at a time
TURN_SECONDS = 0.1

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
    """Refuses, unread, what is too large for a page. No page takes files, and the API's views measure theirs."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(MACHINES) or _sent(request) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return self.get_response(request)
        return too_large(request)


def _sent(request: HttpRequest) -> int:
    """The length of its body in bytes, as the sender says it; 0 where it doesn't."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdecimal() else 0


def too_large(request: HttpRequest) -> HttpResponse:
    """A page that may be shown to anybody: who asks is not known yet."""
    error = TooLarge(f"A form has at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.")
    if request.path.startswith(MACHINES):
        return errors.answer(error, request)
    return render(request, "413.html", {"error": error}, status=error.status)
