"""Freezes that concern the caller: of its teams, and of the whole installation."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, administers, fetch, require_scope, seen_teams, teams
from registry.errors import NotFound
from registry.models import Freeze


def listing(by: Caller, *, team: str = "", active: bool | None = None) -> QuerySet[Freeze]:
    """With `team` those that hold for it: its own, and those of all."""
    require_scope(by, Act.READ)
    rows = Freeze.objects.select_related("team")
    if not by.system:
        rows = rows.filter(Q(team__isnull=True) | Q(team__in=seen_teams(by)))
    rows = rows.filter(Q(team__isnull=True) | Q(team__slug=team)) if team else rows
    if active is None:
        return rows
    holding = Freeze.objects.at(timezone.now())
    return rows.filter(pk__in=holding) if active else rows.exclude(pk__in=holding)


def one(by: Caller, pk: int) -> Freeze:
    """One that the caller may lift, or is told that it may not."""
    rows = Freeze.objects.select_related("team")
    everyones = rows.filter(pk=pk, team__isnull=True).first()
    if everyones is not None:
        return everyones
    try:
        return fetch(by, Act.PUBLISH, rows.filter(team__isnull=False), pk=pk)
    except NotFound as error:
        raise NotFound(f"No such freeze: {pk}.") from error


def shown(by: Caller) -> list[tuple[Freeze, bool]]:
    """Those that hold, each with whether the caller may lift it."""
    mine = Exists(teams(by, Act.PUBLISH).filter(pk=OuterRef("team")))
    rows: QuerySet[Any] = listing(by, active=True).annotate(own=mine).order_by("until")
    return [(row, row.own if row.team else administers(by)) for row in rows]
