"""What the caller may do, so that a page offers nothing that would be refused."""

from __future__ import annotations

from registry.access import TABLE, Act, Caller, require, roles_allowing, teams
from registry.errors import Forbidden
from registry.models import Job, Membership, Team


def may(by: Caller, act: Act, team: Team) -> bool:
    return teams(by, act).filter(pk=team.pk).exists()


def may_end(by: Caller, job: Job) -> bool:
    """Jobs of no team belong to the installation."""
    return by.administrator if job.team is None else may(by, Act.TRAIN, job.team)


def who_may(by: Caller, act: Act, team: Team) -> list[str]:
    """Whom to ask: the people of the team whose role allows it. The caller may read there."""
    require(by, Act.READ, team)
    rows = Membership.objects.filter(team=team, role__in=roles_allowing(act), user__is_active=True)
    return list(rows.order_by("user__email").values_list("user__email", flat=True)[:20])


def may_anywhere(by: Caller, act: Act) -> bool:
    return teams(by, act).exists()


def where_may(by: Caller, act: Act) -> list[str]:
    """The teams, by their names in addresses."""
    return sorted(teams(by, act).values_list("slug", flat=True))


def require_anywhere(by: Caller, act: Act) -> None:
    """Raises Forbidden where the caller may do it in no team."""
    if not may_anywhere(by, act):
        raise Forbidden(f"This needs the role {TABLE[act][0]} in a team; ask one of its owners.")
