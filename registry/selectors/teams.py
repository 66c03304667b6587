"""Teams, members and tokens that the caller may read."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import Act, Caller, fetch, require, require_scope, teams, visible
from registry.models import ApiToken, Membership, Team


def listing(by: Caller) -> QuerySet[Team]:
    require_scope(by, Act.READ)
    return teams(by) if by.token is None else Team.objects.filter(pk=by.token.team_id)


def team(by: Caller, act: Act, slug: str) -> Team:
    """The team, if the caller sees it and may do `act` there."""
    return fetch(by, act, Team.objects.all(), team="pk", slug=slug)


def members(by: Caller, team_: Team) -> QuerySet[Membership]:
    require(by, Act.READ, team_)
    return Membership.objects.filter(team=team_).select_related("user")


def tokens(by: Caller) -> QuerySet[ApiToken]:
    """Living tokens; a person sees those of the teams it owns."""
    rows = visible(by, ApiToken.objects.select_related("team", "owner").filter(revoked_at__isnull=True))
    return rows if by.token is not None else rows.filter(team__in=teams(by, Act.ADMIN))
