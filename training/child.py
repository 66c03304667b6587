"""The training child, as its owner sees it: a specification in, events out, an end in every case."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from training.forked import Forked

LOG_LINES = 200
GRACE_SECONDS = 10.0


class ChildEnded(Exception):
    """The child ended without a last event: it was killed, or it broke. `status` is its exit status."""

    def __init__(self, status: int, log: list[str]) -> None:
        super().__init__(f"the training process ended with status {status}: {' | '.join(log[-3:])}")
        self.status = status


class Child:
    """One task of `training.trainer` in a process group of its own; use it as a context manager.

    Its stdin stays open as long as the owner lives: when the owner dies, the child reads end of file and ends.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = dict(spec)
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._lock = threading.Lock()

    def __enter__(self) -> Child:
        self.process = Forked()
        self._reader = threading.Thread(target=self._keep_log, daemon=True, name="child-log")
        self._reader.start()
        self._say(self.spec)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        self.process.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event; the last one is `finished` or `failed`. Raises ChildEnded where there is none."""
        last = ""
        for line in self.process.stdout:
            with suppress(ValueError):
                event: dict[str, Any] = json.loads(line)
                last = str(event.get("event"))
                yield event
        if last not in ("finished", "failed"):
            status = self.process.wait()
            self._reader.join(timeout=5)
            raise ChildEnded(status, self.log())

    def cancel(self) -> None:
        """Ask it to stop at a step boundary; after a grace it is killed."""
        self._say({"cmd": "cancel"})
        timer = threading.Timer(GRACE_SECONDS, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """End its whole process group at once."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def log(self) -> list[str]:
        """The last lines that it wrote on stderr."""
        return list(self._lines)

    def _say(self, words: Mapping[str, Any]) -> None:
        with self._lock, suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()

    def _keep_log(self) -> None:
        for line in self.process.stderr:
            self._lines.append(line.rstrip("\n")[:500])
