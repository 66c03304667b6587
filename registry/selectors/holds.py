"""Legal holds that concern the caller, and what the open ones keep."""

from __future__ import annotations

from django.db.models import Q

from registry.access import Act, Caller, administers, require_scope, seen_teams
from registry.errors import NotFound
from registry.models import LegalHold
from registry.models.holds import LegalHoldQuerySet


def listing(by: Caller, *, team: str = "", active: bool | None = None) -> LegalHoldQuerySet:
    """Of the caller's teams and of the whole installation; for an administrator, who places them, all.

    With `team` those that cover it: its own, and those of everything.
    """
    require_scope(by, Act.READ)
    rows = LegalHold.objects.select_related("team")
    if not by.system and not administers(by):
        rows = rows.filter(Q(team__isnull=True) | Q(team__in=seen_teams(by)))
    rows = rows.filter(Q(team__isnull=True) | Q(team__slug=team)) if team else rows
    return rows.all() if active is None else rows.filter(lifted_at__isnull=active)


def one(by: Caller, pk: int) -> LegalHold:
    row = listing(by).filter(pk=pk).first()
    if row is None:
        raise NotFound(f"No such legal hold: {pk}.")
    return row


def held(team: str) -> Q:
    """Rows of which nothing may go; `team` is the path from a row to its team."""
    rows = LegalHold.objects.open()
    if rows.filter(team__isnull=True).exists():
        return Q(pk__isnull=False)
    return Q(**{f"{team}__in": rows.values("team")})
