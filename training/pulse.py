"""The heartbeat of an attempt: it keeps the lease, carries progress, and hears when the attempt must end.

It beats in the owner process, never in the child, every quarter of a lease. What it hears it passes on to
the child at once: a cancel asks it to stop, a lost lease or a shutdown kills it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from registry.errors import Fenced
from registry.services import jobs
from registry.services.jobs import Attempt
from training.child import Child

log = logging.getLogger(__name__)
MOST_SECONDS = 2.0  # progress is looked at by people, so it never waits longer than this


class Reason(Enum):
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    LOST = "lost"


class Pulse:
    """Use it as a context manager around the attempt's work."""

    def __init__(self, attempt: Attempt, shutdown: threading.Event) -> None:
        self.attempt = attempt
        self.reason: Reason | None = None
        self._shutdown = shutdown
        self._ended = threading.Event()
        self._progress: dict[str, Any] | None = None
        self._child: Child | None = None
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"pulse-{attempt.job.pk}")

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._ended.set()
        self._thread.join()

    def report(self, progress: dict[str, Any]) -> None:
        """What the next beat carries."""
        self._progress = progress

    @contextmanager
    def watching(self, child: Child) -> Iterator[None]:
        """While the child runs, an end of the attempt ends it too."""
        self._child = child
        if self.reason is not None:
            self._end_child(self.reason)
        try:
            yield
        finally:
            self._child = None

    def flush(self) -> None:
        """Bring the last report home: what follows the work leaves no time for another beat."""
        progress, self._progress = self._progress, None
        if progress is not None and self.reason is None:
            jobs.heartbeat(self.attempt, progress)

    def _beat(self) -> None:
        pause = min(settings.LEASE_SECONDS / 4, MOST_SECONDS)
        try:
            while not self._ended.wait(pause):
                reason = self._once()
                if reason is not None and reason is not self.reason:
                    self.reason = reason
                    self._end_child(reason)
                if reason is Reason.LOST:
                    return
        finally:
            connection.close()

    def _once(self) -> Reason | None:
        if self._shutdown.is_set():
            return Reason.SHUTDOWN
        progress, self._progress = self._progress, None
        try:
            return Reason.CANCEL if jobs.heartbeat(self.attempt, progress) else self.reason
        except Fenced:
            return Reason.LOST
        except DatabaseError as error:
            # The database may be away for less than the lease; if for longer, the fence will tell.
            log.warning("job %s: heartbeat failed: %s", self.attempt.job.pk, error)
            connection.close()
            return self.reason

    def _end_child(self, reason: Reason) -> None:
        child = self._child
        if child is None:
            return
        if reason is Reason.CANCEL:
            child.cancel()
        else:
            child.kill()
