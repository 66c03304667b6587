"""Whose signed statements the caller's teams take for a token."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import Act, Caller, require_scope, teams, visible
from registry.models import TrustedIssuer


def listing(by: Caller, *, team: str = "") -> QuerySet[TrustedIssuer]:
    """Those that are still trusted; a person sees those of the teams it owns, a token needs `admin`."""
    require_scope(by, Act.ADMIN)
    rows = visible(by, TrustedIssuer.objects.select_related("team", "owner").filter(revoked_at__isnull=True))
    rows = rows if by.token is not None else rows.filter(team__in=teams(by, Act.ADMIN))
    return rows.filter(team__slug=team) if team else rows


def trusted(team: str, issuer: str) -> list[TrustedIssuer]:
    """For the exchange, where nobody is signed in: what a team, by somebody active, says of an issuer."""
    rows = TrustedIssuer.objects.select_related("team", "owner")
    return list(rows.filter(team__slug=team, issuer=issuer, revoked_at__isnull=True, owner__is_active=True))
