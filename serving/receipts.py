"""Receipts: spooled to a file before the last byte of an answer leaves, brought into the database right after.

A gateway appends to a file of its own and holds a lock on it as long as it lives. What a killed gateway left is
found by its missing lock and brought in by the next. A line comes in twice at most, and counts once: its
`request` is unique. The disk itself has it within a round (docs/decisions/0004): a machine that loses its power
loses the receipts of the last half second.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, close_old_connections

from registry.services import receipts

EVERY_SECONDS = 0.5
LINES_AT_ONCE = 2000
ROTATE_BYTES = 4 * 1024**2
CLOSED = -1
log = logging.getLogger(__name__)


class Spool:
    """One append-only file below `folder`. `write`, `ingest` and `sync` are for a thread each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._guard = threading.Lock()
        self._synced: tuple[Path, int] | None = None
        self._open()

    def _open(self) -> None:
        # Locked under another ending before it has its name: nobody may take it for a dead gateway's.
        draft = self.folder / f"{uuid.uuid4().hex}.new"
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._path = draft.with_suffix(".ndjson")
        draft.rename(self._path)
        self._read = 0
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)  # the name too outlives a power cut
        os.close(folder)

    def write(self, line: dict[str, Any]) -> None:
        """Raises OSError where the disk is full: then the answer must not end as if it were recorded."""
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._guard:
            before = os.fstat(self._file).st_size
            written = os.write(self._file, data)
            if written != len(data):  # never leave half a line for the next one to be glued to
                os.ftruncate(self._file, before)  # needs no room, as a line break would
                raise OSError(f"the spool {self._path} took {written} of {len(data)} bytes")

    def ingest(self) -> int:
        """Bring new lines and those of dead gateways into the database; how many. Raises DatabaseError."""
        count = self._ingest_own()
        for path in self.folder.glob("*.ndjson"):
            if path != self._path:
                count += _ingest_left_over(path)
        self._rotate()
        return count

    def sync(self) -> None:
        """All lines since the last time at once: one by one each answer would wait for the disk."""
        with self._guard:
            if self._file == CLOSED or (now := (self._path, os.fstat(self._file).st_size)) == self._synced:
                return
            file = os.dup(self._file)  # it may be closed meanwhile; whoever writes doesn't wait
        try:
            os.fdatasync(file)
        finally:
            os.close(file)
        self._synced = now

    def close(self) -> None:
        """Bring in what is left, and go without a trace if that worked. Whoever writes later is refused."""
        with suppress(DatabaseError):
            self._ingest_own()
        with self._guard:
            if os.fstat(self._file).st_size == self._read:
                self._path.unlink(missing_ok=True)
            else:
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = CLOSED  # the number may be another file's by now

    def _ingest_own(self) -> int:
        count = 0
        while chunk := _whole_lines(self._file, self._read):
            count += _store(chunk, self.folder)
            self._read += len(chunk)
        return count

    def _rotate(self) -> None:
        with self._guard:
            if ROTATE_BYTES < self._read == os.fstat(self._file).st_size:
                self._path.unlink()
                os.close(self._file)
                self._open()


class Ingester:
    """Two threads: one empties a spool, one has the disk keep it, however long the database takes."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._done = threading.Event()
        acts = (("receipts", self._run), ("receipts-disk", self._keep))
        self._threads = [threading.Thread(target=act, name=name, daemon=True) for name, act in acts]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _keep(self) -> None:
        while not self._done.wait(EVERY_SECONDS):
            try:
                self._spool.sync()
            except OSError:
                log.exception("the disk does not keep the receipts")

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                close_old_connections()
                self._spool.ingest()
            except DatabaseError as error:
                log.warning("receipts wait in the spool, the database is away: %s", error)
            except Exception:  # a full disk, perhaps; whatever it is, the next round may do
                log.exception("receipts wait in the spool")
            self._done.wait(EVERY_SECONDS)
        self._spool.close()
        close_old_connections()


def _ingest_left_over(path: Path) -> int:
    """The file of a gateway that is gone; a living one holds its lock."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return 0  # another gateway was first
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        count = offset = 0
        while chunk := _whole_lines(file, offset):
            count += _store(chunk, path.parent)
            offset += len(chunk)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return 0
    finally:
        os.close(file)
    return count


def _whole_lines(file: int, offset: int) -> bytes:
    """Up to some thousand lines from `offset` on; what doesn't end in a line break yet is left."""
    data = os.pread(file, LINES_AT_ONCE * 512, offset)
    return data[: data.rfind(b"\n") + 1]


def _ingest(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that can't be stored. One that the database chokes on must not keep the others out."""
    try:
        return receipts.ingest(lines=lines)
    except (OperationalError, InterfaceError):
        raise  # the database is away: nothing is known of any line
    except Exception as error:  # noqa: BLE001 - a number or text that it can't hold
        log.warning("a receipt among %d can't be stored: %r", len(lines), error)
    refused = []
    for line in lines:
        try:
            refused += receipts.ingest(lines=[line])
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # noqa: BLE001
            refused.append(line)
    return refused


def _store(chunk: bytes, folder: Path) -> int:
    lines, refused = [], []
    for raw in chunk.splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            line = None
        if isinstance(line, dict):
            lines.append(line)
        elif raw.strip():
            refused.append({"unreadable": raw.decode(errors="replace")})
    refused += _ingest(lines)
    if refused:
        log.error("%d receipts can't be stored and are kept in %s/refused.log", len(refused), folder)
        with (folder / "refused.log").open("a") as kept:
            kept.writelines(json.dumps(line) + "\n" for line in refused)
    return len(lines)
