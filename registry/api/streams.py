"""A job's events as they come, by server-sent events.

Each reader holds a thread of the web process, which has few: a stream is short, and there are only some at once.
A browser that lost one comes back by itself and says where it was (`Last-Event-ID`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection
from rest_framework.utils.encoders import JSONEncoder

from registry.choices import FINAL_JOB_STATES
from registry.errors import RegistryError, Unavailable
from registry.models import Job, JobEvent
from registry.selectors import jobs as selectors
from registry.throttle import Places

STREAM_SECONDS = 20.0
POLL_SECONDS = 0.5
MOST_STREAMS = 4  # of the web process's 8 threads
RETRY_AFTER = 2

_places = Places(2 * STREAM_SECONDS)


class Stream:
    """Every event of one job until it has ended, the stream is old, or the reader may see it no more."""

    def __init__(self, look: Callable[[], Job], words: Callable[[JobEvent], Any], after: int) -> None:
        """`look` reads the job anew, and raises once the caller may not; `words` are those of an event."""
        self._place = _take()
        self._lines = _lines(look, words, after)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        """Called by the server at the end, also where the first line was never asked for."""
        _places.give_back(self._place)


def _take() -> int:
    place = _places.take(MOST_STREAMS)
    if place is None:
        text = f"{MOST_STREAMS} streams are open; try again, or ask without Accept: text/event-stream."
        raise Unavailable(text, code="too_many_streams", retry_after=RETRY_AFTER)
    return place


def _lines(look: Callable[[], Job], words: Callable[[JobEvent], Any], after: int) -> Iterator[str]:
    until = time.monotonic() + STREAM_SECONDS
    while time.monotonic() < until:
        try:
            job = look()
        except RegistryError:
            break  # revoked, or moved out of the team: nothing more is told
        for event in selectors.events(job, after):
            after = event.seq
            body = json.dumps(words(event), cls=JSONEncoder)
            yield f"id: {event.seq}\nevent: {event.kind}\ndata: {body}\n\n"
        if job.state in FINAL_JOB_STATES:
            break
        time.sleep(POLL_SECONDS)
    connection.close()
