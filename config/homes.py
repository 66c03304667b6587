"""Whose home and ports these are: the lock of a home, the leftovers of a killed owner, the check of a port."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil


class AlreadyRunning(Exception):
    """Another process holds the home; the message says which, since when, and what to do."""


class PortInUse(Exception):
    """Somebody listens on a wanted port; the message names the setting that chooses another."""


class HomeLock:
    """`<home>/run/up.lock`: held by flock, so that it goes with its holder; its text says who that is."""

    def __init__(self, home: Path) -> None:
        self.path = home / "run" / "up.lock"
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises AlreadyRunning."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1024)
            os.close(descriptor)
            raise AlreadyRunning(_who(holder, self.path.parent.parent)) from None
        facts = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(facts).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """The file stays: removing a lock file lets two processes hold "it" at once."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def require_free(port: int, setting: str, host: str = "127.0.0.1") -> None:
    """Raises PortInUse where `host:port` can't be ours; `setting` is the variable that chooses another."""
    advice = f"end it, or choose another port with {setting}"
    try:
        # First a connection: with SO_REUSEPORT a second server binds beside the first and shares its requests.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                raise PortInUse(f"port {port} on {host} is taken by {_listener(port)}: {advice}")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what waits in TIME_WAIT is no listener
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise PortInUse(f"port {port} on {host} can't be used ({error}): {advice}") from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def end_leftovers(folder: Path, *, patience: float = 15.0) -> None:
    """Children of a killed supervisor end by themselves: wait, and after `patience` seconds kill the rest."""
    left = [process for path in folder.glob("*.pid") if (process := _started_with(path))]
    for process in _still_alive(left, patience):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    _still_alive(left, 5)
    for path in folder.glob("*.pid"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Replace the file's content in one step: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


def _who(holder: bytes, home: Path) -> str:
    try:
        facts = json.loads(holder)
        whom = f"process {facts['pid']}, since {facts['since']}; end it with `kill {facts['pid']}`"
    except (ValueError, KeyError, TypeError):
        whom = "another process; end it"
    return f"Plethora runs already on {home}: {whom}, or choose another PLETHORA_HOME"


def _listener(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for link in psutil.net_connections("tcp"):
            if link.laddr and link.laddr.port == port and link.status == psutil.CONN_LISTEN and link.pid:
                return f"process {link.pid} ({psutil.Process(link.pid).name()})"
    return "another process"


def _started_with(pid_file: Path) -> psutil.Process | None:
    """The process that this pid file was written for, and not a stranger who got its number later."""
    with suppress(ValueError, OSError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text()))
        if abs(process.create_time() - pid_file.stat().st_mtime) < 5 and os.getpgid(process.pid) == process.pid:
            return process
    return None


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _still_alive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    end = time.monotonic() + seconds
    while (left := [process for process in processes if _alive(process)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left
