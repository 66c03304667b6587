"""Usage by the hour, added up from receipts. Telemetry, so not audited.

A receipt is marked in the transaction that adds it, so that it counts once, however late it came and however often
the counting was cut off. What is added up stays when the receipts themselves are forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import F

from registry.models import Receipt, UsageHour

BATCH = 5000  # rows in one query: SQLite takes 32,766 parameters


class Place(NamedTuple):
    """What is added up together."""

    hour: datetime
    client_id: int
    slot: str
    version_id: int | None
    base_version_id: int


def count(*, limit: int = BATCH) -> int:
    """Add up to `limit` receipts that are not counted yet; returns how many. One counter at a time."""
    waiting = Receipt.objects.filter(counted=False)
    if not waiting.exists():  # asked each second: a look takes no lock
        return 0
    with transaction.atomic():
        _one_at_a_time()
        rows = list(waiting.order_by("pk")[:limit])
        for place, sums in _added_up(rows).items():
            row, _ = UsageHour.objects.get_or_create(**place._asdict())
            UsageHour.objects.filter(pk=row.pk).update(**{name: F(name) + n for name, n in sums.items()})
        return waiting.filter(pk__in=[row.pk for row in rows]).update(counted=True)


def _added_up(rows: Iterable[Receipt]) -> dict[Place, Counter[str]]:
    found: dict[Place, Counter[str]] = {}
    for row in rows:
        hour = row.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        place = Place(hour, row.client_id, row.slot, row.version_id, row.base_version_id)
        sums = found.setdefault(place, Counter())
        sums["requests"] += 1
        sums["prompt_tokens"] += row.prompt_tokens
        sums["completion_tokens"] += row.completion_tokens
    return found


def _one_at_a_time() -> None:
    """SQLite's IMMEDIATE transactions already serialise; PostgreSQL takes an advisory lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x91E7404C])
