"""The owner's side of the nursery: one for this process, started when first needed, and again if it died."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import BinaryIO, TextIO

from django.conf import settings

KILLED = -9  # what is said of a child whose nursery died before it could tell
START_SECONDS = 120.0  # a nursery that has not forked by then hangs

_lock = threading.Lock()
_nursery: tuple[subprocess.Popen[bytes], socket.socket] | None = None


def warm() -> None:
    """Start the nursery before it is needed: its imports take seconds."""
    with _lock:
        _requests()


class Forked:
    """A forked child, as `subprocess.Popen` shows one: its pid, its three streams, its end.

    Raises OSError where no nursery can be had.
    """

    def __init__(self) -> None:
        child_in, ours_in = os.pipe()
        ours_out, child_out = os.pipe()
        ours_err, child_err = os.pipe()
        self.stdin: TextIO = os.fdopen(ours_in, "w", encoding="utf-8")
        self.stdout: TextIO = os.fdopen(ours_out, encoding="utf-8", errors="replace")
        self.stderr: TextIO = os.fdopen(ours_err, encoding="utf-8", errors="replace")
        theirs = [child_in, child_out, child_err]
        try:
            with _lock:
                self._line, self._said, self.pid = _ask(theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._status: int | None = None
        self._asking = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        with self._asking:
            if self._status is None and select.select([self._line], [], [], 0)[0]:
                told = self._said.readline()
                self._status = int(told) if told else self._lost()
            return self._status

    def wait(self) -> int:
        while (status := self.poll()) is None:
            select.select([self._line], [], [])
        return status

    def close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr, self._said, self._line):
            with suppress(OSError):
                stream.close()

    def _lost(self) -> int:
        """Its nursery died, so that nobody will tell its end: it is ended."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return KILLED


def _ask(streams: list[int]) -> tuple[socket.socket, BinaryIO, int]:
    """A child with these streams: the line to it, what is said there, its pid. A dead nursery is replaced."""
    for _ in range(2):
        line, theirs = socket.socketpair()
        with suppress(OSError), theirs:
            socket.send_fds(_requests(), [b"."], [*streams, theirs.fileno()])
        said = line.makefile("rb")
        # Where the sending failed, ours is the only end and this says so at once.
        if select.select([line], [], [], START_SECONDS)[0] and (told := said.readline()):
            return line, said, int(told)
        said.close()
        line.close()
        _forget()
    raise OSError("the process that forks training children can't be had; its words are in the worker's log")


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
        "OPENBLAS_NUM_THREADS": "1",  # numpy would start threads at its import, and a fork leaves them behind
    }
    if settings.DEVICES:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(settings.DEVICES)
    return {**settings.CHILD_ENVIRONMENT, **own}
