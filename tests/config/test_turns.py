"""Whose turn it is: a few requests at a time, and none that waits for long."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from config import middleware
from config.middleware import TURNS, TurnsMiddleware
from tests.config.waiting import eventually

CROWD = 8


class Held:
    """A view that holds everybody until it is told, and knows who is in it."""

    def __init__(self) -> None:
        self.inside = 0
        self.go = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with self._lock:
            self.inside += 1
        self.go.wait(20)
        return HttpResponse()


@pytest.fixture
def view() -> Any:
    made = Held()
    yield made
    made.go.set()


def crowd(ask: TurnsMiddleware, size: int = CROWD, **headers: Any) -> list[threading.Thread]:
    requests = [RequestFactory().get("/", **headers) for _ in range(size)]
    threads = [threading.Thread(target=ask, args=[request], daemon=True) for request in requests]
    for thread in threads:
        thread.start()
    return threads


def test_a_few_are_worked_on_at_a_time(view: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "TURN_SECONDS", 60.0)
    threads = crowd(TurnsMiddleware(view))
    assert eventually(lambda: view.inside == TURNS, 5)
    assert not eventually(lambda: view.inside > TURNS, 0.3)
    view.go.set()
    for thread in threads:
        thread.join(5)
    assert view.inside == CROWD


def test_what_waits_for_something_else_stops_nobody_for_long(view: Held) -> None:
    crowd(TurnsMiddleware(view))
    assert eventually(lambda: view.inside == CROWD, 10)


def test_a_large_body_takes_no_turn(view: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "TURN_SECONDS", 60.0)
    ask = TurnsMiddleware(view)
    crowd(ask, CONTENT_LENGTH=str(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
    assert eventually(lambda: view.inside == CROWD, 5)
    crowd(ask, 1)
    assert eventually(lambda: view.inside == CROWD + 1, 5)


def test_a_view_that_breaks_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "TURN_SECONDS", 0.0)

    def breaks(request: HttpRequest) -> HttpResponse:
        raise ValueError

    ask = TurnsMiddleware(breaks)
    for _ in range(TURNS + 1):
        with pytest.raises(ValueError):
            ask(RequestFactory().get("/"))
    assert ask.turns.acquire(blocking=False)
