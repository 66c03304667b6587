"""The owner's side of the nursery: one for this process, started when first needed, and again if it died."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TextIO

from django.conf import settings

KILLED = -9  # what is said of a child whose nursery died before it could tell

_lock = threading.Lock()
_nursery: tuple[subprocess.Popen[bytes], socket.socket] | None = None


def warm() -> None:
    """Start the nursery before it is needed: its imports take seconds."""
    with _lock:
        _requests()


class Forked:
    """A forked child, as `subprocess.Popen` shows one: its pid, its three streams, its end."""

    def __init__(self) -> None:
        child_in, ours_in = os.pipe()
        ours_out, child_out = os.pipe()
        ours_err, child_err = os.pipe()
        self.stdin: TextIO = os.fdopen(ours_in, "w", encoding="utf-8")
        self.stdout: TextIO = os.fdopen(ours_out, encoding="utf-8", errors="replace")
        self.stderr: TextIO = os.fdopen(ours_err, encoding="utf-8", errors="replace")
        self._line, line = socket.socketpair()
        descriptors = [child_in, child_out, child_err, line.detach()]
        try:
            _send(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._said = self._line.makefile("rb")
        self.pid = int(self._said.readline() or 0)
        self._status: int | None = None if self.pid else KILLED
        self._asking = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        with self._asking:
            if self._status is None and select.select([self._line], [], [], 0)[0]:
                self._status = int(self._said.readline() or KILLED)
            return self._status

    def wait(self) -> int:
        while (status := self.poll()) is None:
            select.select([self._line], [], [])
        return status

    def close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr, self._said, self._line):
            with suppress(OSError):
                stream.close()


def _send(descriptors: list[int]) -> None:
    """Ask for a child with these descriptors; of a new nursery where the old one is gone."""
    with _lock:
        for _ in range(2):
            try:
                socket.send_fds(_requests(), [b"."], descriptors)
            except OSError:
                _forget()
            else:
                return
    raise OSError("the process that forks training children can't be reached")


def _requests() -> socket.socket:
    global _nursery  # noqa: PLW0603 - one for this process
    if _nursery is not None and _nursery[0].poll() is not None:
        _forget()
    if _nursery is None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "training.trainer.nursery"],
                stdin=theirs.fileno(),
                start_new_session=True,
                env=_environment(),
                cwd=settings.ROOT,
            )
        _nursery = process, ours
    return _nursery[1]


def _forget() -> None:
    global _nursery  # noqa: PLW0603 - one for this process
    if _nursery is not None:
        process, requests = _nursery
        requests.close()
        process.kill()
        process.wait()
        _nursery = None


def _environment() -> dict[str, str]:
    own = {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(settings.CHILD_THREADS),
    }
    return {**settings.CHILD_ENVIRONMENT, **own}
