"""Accepting that a version is stale, for a while."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from registry.access import Act, Caller, require
from registry.errors import Conflict, Invalid
from registry.models import AdapterVersion, Waiver
from registry.services import audit


def waive(*, by: Caller, version: AdapterVersion, reason: str, until: datetime) -> Waiver:
    require(by, Act.PUBLISH, version.adapter.team)
    if until <= timezone.now():
        raise Invalid.at("until", "in_the_past", "until must lie in the future.")
    with transaction.atomic():
        row = Waiver.objects.create(version=version, reason=reason, until=until, actor=by.name)
        audit.record(
            by,
            "staleness.waive",
            f"adapter:{version.address}",
            team=version.adapter.team,
            after={"until": until.isoformat()},
            reason=reason,
        )
        return row


def end(*, by: Caller, waiver: Waiver, reason: str = "") -> Waiver:
    """Before its time: the version is stale again, as if it had never been waived."""
    team = waiver.version.adapter.team
    require(by, Act.PUBLISH, team)
    now = timezone.now()
    with transaction.atomic():
        if Waiver.objects.filter(pk=waiver.pk, until__gt=now).update(until=now) != 1:
            raise Conflict(f"This waiver ended at {waiver.until.isoformat()}.", code="ended", allowed=[])
        audit.record(
            by,
            "staleness.unwaive",
            f"adapter:{waiver.version.address}",
            team=team,
            before={"until": waiver.until.isoformat()},
            after={"until": now.isoformat()},
            reason=reason,
        )
    waiver.refresh_from_db()
    return waiver
