"""A beat from a thread of its own: whatever the owner is busy with, it is known to live."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import close_old_connections, connections

log = logging.getLogger(__name__)


class Pulse:
    """Calls `beat` every so many seconds until `stop`; what it raises is logged, and it beats on."""

    def __init__(self, beat: Callable[[], None], *, seconds: float) -> None:
        self._beat = beat
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._done.wait(self._seconds):
            try:
                close_old_connections()
                self._beat()
            except Exception as error:  # noqa: BLE001 - a database that is away, or worse: the next beat tells
                log.warning("a beat failed: %s", error)
        connections.close_all()  # those of this thread
