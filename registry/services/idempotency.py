"""Keys of repeated requests. Telemetry of the API, so not audited.

A reservation is kept alive by the process that made it, and taken over once nobody does so any more: how long a
request takes (an upload to a slow store) says nothing about whether it still runs.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection
from django.utils import timezone
from django.utils.datastructures import MultiValueDict

from registry.models import IdempotencyKey

REFRESH_SECONDS = 15.0
STALE_AFTER = timedelta(minutes=2)

log = logging.getLogger(__name__)
_lock = threading.Lock()
_held: set[int] = set()  # the rows of requests that run in this process
_keeper: list[threading.Thread] = []


def reserve(*, caller: str, key: str, request_sha256: str) -> tuple[IdempotencyKey, bool]:
    """The row of `key`, and whether it is ours to act on, until `release`."""
    row, made = IdempotencyKey.objects.get_or_create(
        caller=caller, key=key, defaults={"request_sha256": request_sha256}
    )
    if not made and not row.status and row.request_sha256 == request_sha256:
        now = timezone.now()
        abandoned = IdempotencyKey.objects.filter(pk=row.pk, status=0, created_at__lt=now - STALE_AFTER)
        made = abandoned.update(created_at=now) == 1
    if made:
        _hold(row.pk)
    return row, made


def store(row_id: int, status: int, body: Any) -> None:
    IdempotencyKey.objects.filter(pk=row_id, status=0).update(status=status, body=body)


def forget(row_id: int) -> None:
    IdempotencyKey.objects.filter(pk=row_id, status=0).delete()


def release(row_id: int) -> None:
    """The request has ended, whatever came of it."""
    with _lock:
        _held.discard(row_id)


def refresh() -> None:
    """Say that the requests of this process still run."""
    with _lock:
        held = list(_held)
    if held:
        IdempotencyKey.objects.filter(pk__in=held, status=0).update(created_at=timezone.now())


def add_files(sha: hashlib._Hash, files: MultiValueDict[str, Any]) -> None:
    """To a request's digest its files by their bytes: one that was mended may have the same name and size."""
    for name, sent in sorted(files.lists()):
        for file in sent:
            sha.update(f"\n{name}:{file.name}:".encode())
            for block in file.chunks():
                sha.update(block)
            file.seek(0)


def expire(older_than: timedelta = timedelta(days=2)) -> int:
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - older_than).delete()[0]


def _hold(row_id: int) -> None:
    """Keep the row alive; one thread does so for all requests, and ends with the last of them."""
    with _lock:
        _held.add(row_id)
        if not _keeper:
            thread = threading.Thread(target=_keep, name="idempotency", daemon=True)
            _keeper.append(thread)
            thread.start()


def _keep() -> None:
    pause = threading.Event()
    while True:
        pause.wait(REFRESH_SECONDS)
        with _lock:
            if not _held:
                _keeper.clear()
                return
        try:
            refresh()
        except DatabaseError:
            log.exception("reservations could not be refreshed")
        finally:
            connection.close()
