"""The record, as the caller may read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from registry.access import Act, Caller, administers, require_scope, seen_teams
from registry.models import AuditEvent


def listing(by: Caller, filters: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    """Events of the caller's teams and of base models; for an administrator all those that have no team."""
    require_scope(by, Act.READ)
    rows = AuditEvent.objects.select_related("team", "seal")
    common = Q(team__isnull=True)
    if not administers(by):
        common &= Q(action__startswith="base_")  # base models concern every team, accounts don't
    mine = rows.filter(Q(team__in=seen_teams(by)) | common)
    return _filtered(mine, filters)


def _filtered(rows: QuerySet[AuditEvent], filters: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    if actor := filters.get("actor"):
        rows = rows.filter(Q(actor=actor) | Q(on_behalf_of=actor))
    if action := filters.get("action"):
        rows = rows.filter(action=action)
    if obj := filters.get("object"):
        rows = rows.filter(object=obj)
    if client := filters.get("client"):
        rows = rows.filter(Q(object=f"client:{client}") | Q(object__startswith=f"slot:{client}/"))
    if isinstance(since := filters.get("from"), datetime):
        rows = rows.filter(at__gte=since)
    if isinstance(until := filters.get("to"), datetime):
        rows = rows.filter(at__lt=until)
    return rows
