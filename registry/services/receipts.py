"""Receipts from the gateways' spools. Telemetry, so not audited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from registry.models import ApiToken, ClientKey, Receipt
from registry.selectors import holds
from registry.services import audit

BATCH = 5000


def ingest(*, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Store each line once, however often it comes; returns those that can't be stored at all.

    A line has the fields of `Receipt`; times are ISO 8601, rows are named by their ids. It may say by which
    `credential` it was asked, `plc_<id>` or `plt_<id>`, whose last use it is then. Raises OperationalError
    where the database is away: then none is lost, bring them again.
    """
    rows, refused = [], []
    used: list[tuple[str, datetime]] = []
    oldest = _oldest()
    for line in lines:
        row = _row(line)
        # Of one that would be forgotten at once nobody can tell whether it was counted before.
        if row is None or (oldest is not None and row.at < oldest):
            refused.append(line)
        else:
            rows.append(row)
            used.append((str(line.get("credential", "")), row.at))
    try:
        _store(rows)
    except IntegrityError:
        refused += _one_by_one(rows, lines)
    _touch(used)
    return refused


def _touch(used: Iterable[tuple[str, datetime]]) -> None:
    """When each last got an answer, to the minute: one statement for all of a minute, never back in time."""
    minutes: dict[tuple[str, datetime], set[str]] = defaultdict(set)
    for credential, at in used:
        kind, _, prefix = credential.partition("_")
        minutes[kind, at.replace(second=0, microsecond=0)].add(prefix)
    for (kind, minute), prefixes in minutes.items():
        earlier = Q(last_used_at__isnull=True) | Q(last_used_at__lt=minute)
        if kind == "plc":
            ClientKey.objects.filter(earlier, prefix__in=prefixes).update(last_used_at=minute)
        elif kind == "plt":
            ApiToken.objects.filter(earlier, prefix__in=prefixes).update(last_used_at=minute)


def forget() -> int:
    """Delete what is older than receipts are kept, once it is counted in usage; returns how many."""
    oldest, forgotten = _oldest(), 0
    if oldest is None:
        return 0
    while batch := _forget_batch(oldest):
        forgotten += batch
    return forgotten


def _forget_batch(oldest: datetime) -> int:
    """But for what a legal hold keeps: it is placed under the same lock."""
    with transaction.atomic():
        audit.lock_chain()
        old = Receipt.objects.filter(counted=True, at__lt=oldest).exclude(holds.held("client__team"))
        ids = list(old.order_by("at").values_list("pk", flat=True)[:BATCH])
        return Receipt.objects.filter(pk__in=ids).delete()[0]


def _oldest() -> datetime | None:
    """The moment from which on receipts are kept; None where all are."""
    days = settings.RECEIPT_DAYS
    return timezone.now() - timedelta(days=days) if days else None


def _store(rows: Sequence[Receipt]) -> None:
    with transaction.atomic():
        Receipt.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def _one_by_one(rows: Sequence[Receipt], lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line that names a row which isn't there must not keep the others out."""
    by_request = {line.get("request"): line for line in lines}
    refused = []
    for row in rows:
        try:
            _store([row])
        except IntegrityError:
            refused.append(by_request[row.request])
    return refused


def _row(line: dict[str, Any]) -> Receipt | None:
    try:
        return Receipt(
            request=line["request"],
            at=datetime.fromisoformat(line["at"]),
            admitted_at=datetime.fromisoformat(line["admitted_at"]),
            client_id=line["client"],
            slot=line["slot"],
            assignment_id=line["assignment"],
            version_id=line["version"],
            base_version_id=line["base_version"],
            digest=line["digest"],
            prompt_tokens=max(0, int(line["prompt_tokens"])),
            completion_tokens=max(0, int(line["completion_tokens"])),
            milliseconds=max(0, int(line["milliseconds"])),
            outcome=line["outcome"],
        )
    except (KeyError, TypeError, ValueError):
        return None
