"""The record, as the caller may read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import CharField, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from registry.access import Act, Caller, administers, require_scope, seen_teams
from registry.models import Assignment, AuditEvent


def listing(by: Caller, filters: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    """Events of the caller's teams and of base models; for an administrator all those that have no team."""
    require_scope(by, Act.READ)
    rows = AuditEvent.objects.select_related("team", "seal")
    common = Q(team__isnull=True)
    if not administers(by):
        common &= Q(action__startswith="base_")  # base models concern every team, accounts don't
    mine = rows.filter(Q(team__in=seen_teams(by)) | common)
    return filtered(mine, filters)


def filtered(rows: QuerySet[AuditEvent], filters: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    if actor := filters.get("actor"):
        rows = rows.filter(Q(actor=actor) | Q(on_behalf_of=actor))
    if action := filters.get("action"):
        rows = rows.filter(action=action)
    if obj := filters.get("object"):
        rows = rows.filter(object=obj)
    if text := filters.get("q"):
        rows = rows.filter(_holding(text))
    if client := filters.get("client"):
        own = Q(object=f"client:{client}") | Q(object__startswith=f"slot:{client}/")
        rows = rows.filter(own | Q(object__in=_followed(client)))
    if isinstance(since := filters.get("from"), datetime):
        rows = rows.filter(at__gte=since)
    if isinstance(until := filters.get("to"), datetime):
        rows = rows.filter(at__lt=until)
    return rows


def _holding(text: str) -> Q:
    """Found anywhere in what an event says."""
    words = [
        Q(**{f"{field}__icontains": text}) for field in ("actor", "on_behalf_of", "action", "object", "reason")
    ]
    return reduce(or_, [*words, *(Q(pk__in=_saying(field, text)) for field in ("before", "after"))])


def _saying(field: str, text: str) -> QuerySet[AuditEvent, Any]:
    written = AuditEvent.objects.annotate(written=Cast(field, TextField()))
    return written.filter(written__icontains=text).values("pk")


def _followed(client: str) -> QuerySet[Assignment, str]:
    """What the audit calls the aliases that the client follows, or did: their moves were moves of its own."""
    team, _, name = client.partition("/")
    rows = Assignment.objects.filter(slot__client__team__slug=team, slot__client__name=name, alias__isnull=False)
    parts = ("adapter__team__slug", Value("/"), "adapter__name", Value("@"), "alias__name")
    return rows.values_list(Concat(Value("alias:"), *parts, output_field=CharField()), flat=True)
