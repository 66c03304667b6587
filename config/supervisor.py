"""Runs the processes of an installation on one machine: keeps them up, and leaves none behind.

    with Supervisor(home) as supervisor:        # locks the home, waits for leftovers of a killed predecessor
        supervisor.add(Service("web", [...]))   # starts it
        supervisor.wait_ready("web")
        supervisor.run(each_second)             # until SIGTERM, SIGINT or SIGHUP; then ends all, last one first

Each child holds the reading end of a pipe as its stdin and ends when that closes (`config.lifeline`), so that even
`kill -9` of the supervisor leaves nothing on a port.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from config import env
from config.homes import HomeLock, end_leftovers, write_whole

LOG_BYTES = 10 * 1024**2
LOGS_KEPT = 3
TICK_SECONDS = 0.1


class ServiceError(Exception):
    """A service ended or didn't become ready; the message carries the end of its log."""


class Stopping(SystemExit):
    """Raised in the main thread by SIGTERM, SIGINT and SIGHUP: everything ends, with status 0."""


@dataclass(frozen=True)
class Service:
    """One child process.

    `env` is added to the supervisor's own environment; without `inherit` it is all there is. `ready` is asked
    until it first says True; it must answer or raise within about a second. `grace`: seconds from SIGTERM to
    SIGKILL. Without `restart` an end is final.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold passwords
    inherit: bool = True
    ready: Callable[[], bool] | None = None
    restart: bool = True
    grace: float = 15.0
    cwd: Path | None = None


@dataclass(frozen=True)
class Backoff:
    """Seconds: the first wait before a restart, the longest, and how long a child must live to start over."""

    first: float = 0.5
    most: float = 30.0
    healthy: float = 60.0

    def after(self, wait: float, lived: float) -> float:
        """The next wait, given the last one (0: none yet) and how long the child lived."""
        return self.first if lived >= self.healthy or wait == 0 else min(wait * 2, self.most)


class Child:
    """A service and its process. States: starting, ready, waiting (for its restart), ended, stopped."""

    def __init__(self, service: Service, home: Path, backoff: Backoff) -> None:
        self.service = service
        self.log = home / "log" / f"{service.name}.log"
        self.pid_file = home / "run" / f"{service.name}.pid"
        self.state = "starting"
        self.restarts = 0
        self.exit_code: int | None = None
        self._backoff = backoff
        self._wait = 0.0
        self._started = 0.0
        self._restart_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Raises OSError if the command can't be started."""
        rotate(self.log)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.service.argv),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**(env.snapshot() if self.service.inherit else {}), **self.service.env},
                cwd=self.service.cwd,
                start_new_session=True,
            )
        self._started = time.monotonic()
        try:
            write_whole(self.pid_file, f"{self._process.pid}\n")
        except OSError:
            self._clear()  # what has no pid file outlives a killed supervisor unseen
            raise
        self.state, self.exit_code = "starting", None

    def tick(self) -> None:
        """Notice an end, ask for readiness, restart when it is time; keep the log short."""
        cut(self.log)
        if self.state == "waiting":
            if time.monotonic() >= self._restart_at:
                self.restarts += 1
                self._start_again()
        elif self._process and self._process.poll() is not None:
            self._ended(self._process.returncode)
        elif self.state == "starting" and self._is_ready():
            self.state = "ready"

    def stop(self) -> None:
        """SIGTERM, up to the service's grace, then SIGKILL to what is left of its group."""
        process = self._process
        if process and process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(self.service.grace)
        self._clear()
        self.state = "stopped"

    def facts(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "pid": self.pid,
            "restarts": self.restarts,
            "exit_code": self.exit_code,
            "log": str(self.log),
        }

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _is_ready(self) -> bool:
        try:
            return self.service.ready is None or self.service.ready()
        except Exception:  # noqa: BLE001 - a probe that raises is a probe that says no
            return False

    def _ended(self, code: int) -> None:
        self._clear()  # workers that a killed master left would keep its port
        self.exit_code = code
        if self.service.restart:
            self._back_off()
        else:
            self.state = "ended"

    def _start_again(self) -> None:
        try:
            self.start()
        except OSError as error:
            with suppress(OSError), self.log.open("a") as log:
                log.write(f"{error}\n")
            self._back_off()

    def _back_off(self) -> None:
        now = time.monotonic()
        self._wait = self._backoff.after(self._wait, now - self._started)
        self.state, self._restart_at = "waiting", now + self._wait

    def _clear(self) -> None:
        """Kill the process group, reap, close our end of the pipe, remove the pid file."""
        if (process := self._process) is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
        self.pid_file.unlink(missing_ok=True)
        self._process = None


class Supervisor:
    """Children by name, watched by a thread of its own, so that a caller that hangs stops no restart."""

    def __init__(self, home: Path, *, backoff: Backoff | None = None) -> None:
        self.home = home
        self._backoff = backoff or Backoff()
        self._lock = HomeLock(home)
        self._children: dict[str, Child] = {}
        self._guard = threading.RLock()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._written = ""
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Raises AlreadyRunning if another supervisor has this home."""
        self._lock.take()
        (self.home / "log").mkdir(parents=True, exist_ok=True)
        end_leftovers(self.home / "run")
        if threading.current_thread() is threading.main_thread():
            for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._handlers[name] = signal.signal(name, _ask_to_stop)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._handlers:
            signal.signal(name, signal.SIG_IGN)  # asked once is asked
        self._done.set()
        self._watcher.join()
        self._write_status("stopping")
        while self._children:
            self.remove(next(reversed(self._children)))
        self._write_status("stopped")
        self._lock.release()
        for name, handler in self._handlers.items():
            signal.signal(name, handler)

    @property
    def names(self) -> list[str]:
        """The services in the order of their start."""
        return list(self._children)

    def add(self, service: Service) -> None:
        """Start `service`. Raises ServiceError if the name is taken or the command can't be started."""
        with self._guard:
            if service.name in self._children:
                raise ServiceError(f"there is a service named {service.name!r} already: remove it first")
            child = Child(service, self.home, self._backoff)
            try:
                child.start()
            except OSError as error:
                raise ServiceError(f"{service.name} can't be started: {error}") from error
            self._children[service.name] = child

    def remove(self, name: str) -> None:
        """End the service `name` and forget it; the others stay watched. An unknown name is no error."""
        with self._guard:
            child = self._children.pop(name, None)
        if child:
            child.stop()

    def facts(self, name: str) -> dict[str, Any]:
        """State, pid, restarts, exit code and log of one service. Raises KeyError."""
        with self._guard:
            return self._children[name].facts()

    def wait_ready(self, name: str, *, timeout: float = 30.0) -> None:
        """Wait until `name` is ready. Raises ServiceError if it ended or `timeout` seconds went by."""
        end = time.monotonic() + timeout
        while (facts := self.facts(name))["state"] != "ready":
            if facts["state"] in {"waiting", "ended"}:
                raise ServiceError(f"{name} ended with status {facts['exit_code']}: {self._log_of(name)}")
            if time.monotonic() > end:
                raise ServiceError(f"{name} isn't ready after {timeout:g} s: {self._log_of(name)}")
            time.sleep(TICK_SECONDS / 2)

    def run(self, each: Callable[[], None] | None = None, *, seconds: float = 1.0) -> None:
        """Call `each` every so many `seconds` until a signal asks to stop, which raises Stopping here."""
        while True:
            if each:
                each()
            time.sleep(seconds)

    def _log_of(self, name: str) -> str:
        child = self._children[name]
        return f"see {child.log}\n{child.tail()}"

    def _watch(self) -> None:
        while not self._done.wait(TICK_SECONDS):
            with self._guard:
                children = list(self._children.values())
            for child in children:
                with self._guard:
                    if child.service.name in self._children:
                        _tick(child)
            self._write_status("running")

    def _write_status(self, state: str) -> None:
        with self._guard:
            services = {name: child.facts() for name, child in self._children.items()}
        text = json.dumps(
            {"pid": os.getpid(), "since": self._since, "state": state, "services": services}, indent=1
        )
        if text != self._written:
            with suppress(OSError):  # a full disk must not end the watch
                write_whole(self.home / "run" / "status.json", text)
                self._written = text


def rotate(log: Path, *, limit: int = LOG_BYTES, kept: int = LOGS_KEPT) -> None:
    """Move a log of more than `limit` bytes to .1, .1 to .2, ...; `kept` old ones stay."""
    if not log.exists() or log.stat().st_size <= limit:
        return
    for number in range(kept, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log.with_name(f"{log.name}.{number - 1}") if number > 1 else log
        if newer.exists():
            newer.replace(older)


def cut(log: Path, *, limit: int = LOG_BYTES, kept: int = LOGS_KEPT) -> None:
    """As `rotate`, for a log that a process has open: copied, then emptied; on a full disk only emptied."""
    with suppress(OSError):
        if log.stat().st_size <= limit:
            return
        with suppress(OSError):
            draft = log.with_name(f"{log.name}.new")
            shutil.copyfile(log, draft)
            for number in range(kept, 1, -1):
                newer = log.with_name(f"{log.name}.{number - 1}")
                if newer.exists():
                    newer.replace(log.with_name(f"{log.name}.{number}"))
            draft.replace(log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def _tick(child: Child) -> None:
    try:
        child.tick()
    except Exception:  # a full disk, perhaps: the watch goes on, or nothing would ever be started again
        logging.getLogger(__name__).exception("%s can't be looked after", child.service.name)


def _ask_to_stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
    raise Stopping(0)
