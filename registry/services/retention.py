"""How long the record is kept. In this order, so that whatever dies in between leaves a record that verifies:

1. The record is verified: what doesn't hold is evidence, and nothing of it goes.
2. A checkpoint says, signed, up to which position all is from before the day from which on the record is kept.
3. It is anchored in the store.
4. What lies at or below it is deleted, in portions from the beginning. The database lets nothing else go.

The next round finishes what this one left. What goes ends before the first event that a legal hold covers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from registry.access import SYSTEM
from registry.errors import Conflict
from registry.models import AuditCheckpoint, AuditEvent, AuditHead, AuditSeal
from registry.selectors import holds
from registry.services import anchors, audit

PORTION = 1000


def forget() -> int:
    """Let go of what is older than `PLETHORA_AUDIT_DAYS`; returns how many events. Raises Conflict (`broken`)."""
    until = _until()
    if until is None or (_last(until) is None and not _left(until).exists()):
        return 0
    verdict = audit.verify()
    if not verdict.ok:
        where = f"position {verdict.first_bad_seq} ({verdict.problem})"
        raise Conflict(f"The record does not hold at {where}: nothing of it goes.", code="broken")
    checkpoint(until)
    anchors.anchor_checkpoints()
    return _delete(until)


def checkpoint(until: datetime) -> AuditCheckpoint | None:
    """None where nothing more than at the newest one is from before `until`."""
    with transaction.atomic():
        audit.lock_chain()
        last = _last(until)
        if last is None:
            return None
        row = audit.sign_checkpoint(last, until)
        after = {"checkpoint": row.position, "until": until.isoformat()}
        audit.record(SYSTEM, "audit.forget", "audit", after=after)
        return row


def _until() -> datetime | None:
    """Whole days: else each round would find something, and say so in the record."""
    if not settings.AUDIT_DAYS:
        return None
    moment = timezone.now() - timedelta(days=settings.AUDIT_DAYS)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _last(until: datetime) -> AuditSeal | None:
    """The last seal before the first that stays, if it lies beyond the newest checkpoint."""
    newest = audit.newest_checkpoint()
    rows = AuditSeal.objects.filter(position__gt=newest.position if newest else 0).order_by("position")
    staying = rows.filter(Q(event__at__gte=until) | holds.held("event__team")).first()
    return (rows.filter(position__lt=staying.position) if staying else rows).last()


def _left(until: datetime) -> QuerySet[AuditSeal]:
    """What a checkpoint says may go, and neither the setting nor a hold that was placed since keeps."""
    newest = audit.newest_checkpoint()
    rows = AuditSeal.objects.filter(position__lte=newest.position if newest else 0).order_by("position")
    kept = rows.filter(Q(event__at__gte=until) | holds.held("event__team")).first()
    return rows.filter(position__lt=kept.position) if kept else rows


def _delete(until: datetime) -> int:
    gone = 0
    while portion := _delete_portion(until):
        gone += portion
    return gone


def _delete_portion(until: datetime) -> int:
    """An event goes before its seal, by which the database knows that it may."""
    with transaction.atomic():
        audit.lock_chain()
        portion = dict(_left(until).values_list("position", "event_id")[:PORTION])
        if portion:
            AuditHead.objects.filter(position__lte=max(portion)).delete()
            AuditEvent.objects.filter(pk__in=list(portion.values())).delete()
            AuditSeal.objects.filter(pk__in=list(portion)).delete()
    return len(portion)
