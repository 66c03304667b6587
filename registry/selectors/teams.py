"""Teams, members and tokens that the caller may read."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import Act, Caller, administers, fetch, require, require_scope, seen_teams, teams, visible
from registry.models import ApiToken, Membership, Team


def listing(by: Caller) -> QuerySet[Team]:
    """The caller's teams; an administrator sees that there are others."""
    require_scope(by, Act.READ)
    return Team.objects.all() if administers(by) else seen_teams(by)


def roles(by: Caller) -> dict[str, str]:
    """A person's role in each of its teams."""
    rows = Membership.objects.filter(user=by.user).order_by("team__slug") if by.user else Membership.objects.none()
    return dict(rows.values_list("team__slug", "role"))


def home(by: Caller) -> Team | None:
    """The team of a token, or the first one of a person."""
    return seen_teams(by).order_by("pk").first()


def team(by: Caller, act: Act, slug: str) -> Team:
    """The team, if the caller sees it and may do `act` there."""
    return fetch(by, act, Team.objects.all(), team="pk", slug=slug)


def looked_after(by: Caller, act: Act, slug: str) -> Team:
    """The team as its members see it; for an administrator every team."""
    found = Team.objects.filter(slug=slug).first() if administers(by) else None
    return found or team(by, act, slug)


def members(by: Caller, team_: Team) -> QuerySet[Membership]:
    if not administers(by):
        require(by, Act.READ, team_)
    return Membership.objects.filter(team=team_).select_related("user")


def tokens(by: Caller, *, team: str = "") -> QuerySet[ApiToken]:
    """Tokens that were not revoked; a person sees those of the teams it owns."""
    rows = visible(by, ApiToken.objects.select_related("team", "owner").filter(revoked_at__isnull=True))
    rows = rows if by.token is not None else rows.filter(team__in=teams(by, Act.ADMIN))
    return rows.filter(team__slug=team) if team else rows


def with_origin(rows: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
    """Each token with the exchange that it came of, if it came of one."""
    return rows.select_related("exchange")
