"""The answers of a few versions to one prompt as they come, asked of the gateway, one JSON object a line:

    {"column": 1, "waiting": "..."}          an engine loads the version; it is asked as soon as that is done
    {"column": 1, "text": "..."}             the next piece of its answer
    {"column": 1, "done": {...}}             with times and counts; or {"error": "...", "command": "..."}

A run holds a thread of the web process, which has few: it is short, there are only some at once, and it holds no
turn. Nothing of a prompt or an answer is stored, and nothing is logged but which part failed.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from django.conf import settings

from registry.access import Caller
from registry.dashboard.relays import Ask, relay
from registry.errors import Unavailable
from registry.selectors import playground
from registry.selectors.playground import Column, Standing
from registry.services import serving
from registry.throttle import Places

RUN_SECONDS = 120.0
LOAD_SECONDS = 60.0  # how long an engine may take to load what it was asked for
LOOK_SECONDS = 0.25
BEAT_SECONDS = 1.0  # a line at least: who has hung up is found out by writing to it
MOST_RUNS = 2  # of the web process's 8 threads
RETRY_AFTER = 5
LAST = ("done", "error")

_places = Places(2 * RUN_SECONDS)
_starting = threading.Lock()
_running: list[asyncio.AbstractEventLoop] = []


@dataclass(frozen=True)
class Question:
    """What is asked of every column, with `options` in the words of the chat API."""

    messages: list[dict[str, str]]
    options: dict[str, Any]

    def body(self, model: str) -> dict[str, Any]:
        stream = {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": model, "messages": self.messages, **self.options, **stream}


class Answers:
    """All lines of one run. Closing it hangs up on the gateway, which frees the slots of the engines."""

    def __init__(self, by: Caller, columns: Sequence[Column], question: Question) -> None:
        """Raises Unavailable where too many runs are at it."""
        place = _places.take(MOST_RUNS)
        if place is None:
            text = f"{MOST_RUNS} prompts are being answered here already; ask again in a few seconds."
            raise Unavailable(text, code="too_many_runs", retry_after=RETRY_AFTER)
        self._place = place
        self._by, self._columns, self._question = by, columns, question
        self._told: SimpleQueue[dict[str, Any]] = SimpleQueue()
        # Column -> since when it waits for an engine, where it was told so.
        self._waiting: dict[int, float | None] = dict.fromkeys(range(len(columns)))
        self._asked: list[Future[None]] = []
        self._lines = self._run()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Called by the server at the end, also where the first line was never asked for."""
        for each in self._asked:
            each.cancel()
        _places.give_back(self._place)

    def _run(self) -> Iterator[str]:
        left, until, beat = len(self._columns), time.monotonic() + RUN_SECONDS, time.monotonic()
        while left:
            if self._waiting:
                self._look()
            if time.monotonic() > until:
                yield _line({"error": f"It took longer than {RUN_SECONDS:.0f} s; ask for fewer tokens."})
                return
            try:
                told = self._told.get(timeout=LOOK_SECONDS)
            except Empty:
                if time.monotonic() - beat > BEAT_SECONDS:
                    beat = time.monotonic()
                    yield "\n"
                continue
            left -= any(last in told for last in LAST)
            yield _line(told)

    def _look(self) -> None:
        """Ask each waiting column whose version is loaded by now; end those for which nothing will change."""
        waiting = list(self._waiting)
        stands = playground.stands([self._columns[at] for at in waiting])
        for at, stand in zip(waiting, stands, strict=True):
            if stand.standing == Standing.UNLOADED:
                self._wait(at, stand.waits)
                continue
            del self._waiting[at]
            if stand.standing == Standing.READY:
                self._ask(at)
            else:
                self._told.put({"column": at, "error": stand.message, "command": stand.command})

    def _wait(self, at: int, why: str) -> None:
        column, since = self._columns[at], self._waiting[at]
        if since is None:
            self._waiting[at] = time.monotonic()
            if column.version is not None:
                serving.wish(version=column.version)
            self._told.put({"column": at, "waiting": why})
        elif time.monotonic() - since > LOAD_SECONDS:
            del self._waiting[at]
            text = f"It isn't loaded after {LOAD_SECONDS:.0f} s. {why} Ask again."
            self._told.put({"column": at, "error": text})

    def _ask(self, at: int) -> None:
        column = self._columns[at]
        ask = Ask(
            f"{settings.GATEWAY_URL}/v1/chat/completions",
            column.ticket(self._by),
            self._by.request_id,
            self._question.body(column.address),
        )
        told = relay(ask, lambda line: self._told.put({"column": at, **line}))
        self._asked.append(asyncio.run_coroutine_threadsafe(told, _loop()))


def _line(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False) + "\n"


def _loop() -> asyncio.AbstractEventLoop:
    """The one that all relays of this process run on, in a thread of its own."""
    with _starting:
        if not _running:
            _running.append(asyncio.new_event_loop())
            threading.Thread(target=_running[0].run_forever, name="relays", daemon=True).start()
    return _running[0]
