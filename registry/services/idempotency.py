"""Keys of repeated requests. Telemetry of the API, so not audited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from registry.models import IdempotencyKey


def reserve(*, caller: str, key: str, request_sha256: str, stale_after: timedelta) -> tuple[IdempotencyKey, bool]:
    """The row of `key`, and whether it is ours to act on. A reservation of a dead process expires."""
    row, made = IdempotencyKey.objects.get_or_create(
        caller=caller, key=key, defaults={"request_sha256": request_sha256}
    )
    if made or row.status:
        return row, made
    abandoned = IdempotencyKey.objects.filter(pk=row.pk, status=0, created_at__lt=timezone.now() - stale_after)
    taken = row.request_sha256 == request_sha256 and abandoned.update(created_at=timezone.now()) == 1
    return row, taken


def store(row_id: int, status: int, body: Any) -> None:
    IdempotencyKey.objects.filter(pk=row_id).update(status=status, body=body)


def forget(row_id: int) -> None:
    IdempotencyKey.objects.filter(pk=row_id).delete()


def expire(older_than: timedelta = timedelta(days=2)) -> int:
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - older_than).delete()[0]
