"""What a training job may be made of, as its page offers it: the newest of each, since nobody scrolls further."""

from __future__ import annotations

from dataclasses import dataclass, field

from registry.access import Act, Caller, teams
from registry.choices import SERVABLE_BASE_STATES, DatasetStatus, Role
from registry.models import Adapter, BaseVersion, DatasetVersion, Membership

MOST_OFFERED = 200


@dataclass(frozen=True)
class Offered:
    """Something to choose: its address, and what to know of it."""

    address: str
    words: str


def adapters(by: Caller) -> list[Offered]:
    rows = Adapter.objects.filter(team__in=teams(by, Act.TRAIN)).order_by("-pk")
    found = rows.values_list("team__slug", "name", "vertical", "base_model__name")[:MOST_OFFERED]
    return [Offered(f"{team}/{name}", f"{vertical}, on {base}") for team, name, vertical, base in found]


def datasets(by: Caller) -> list[Offered]:
    rows = DatasetVersion.objects.filter(dataset__team__in=teams(by, Act.TRAIN), status=DatasetStatus.READY)
    named = ("dataset__team__slug", "dataset__name", "number", "dataset__vertical", "row_count")
    found = rows.order_by("-pk").values_list(*named)[:MOST_OFFERED]
    return [
        Offered(f"{team}/{name}@{number}", f"{vertical}, {count or 0:,} rows")
        for team, name, number, vertical, count in found
    ]


def bases() -> list[Offered]:
    """Base models belong to all teams, so no caller is asked."""
    rows = BaseVersion.objects.filter(status__in=SERVABLE_BASE_STATES).order_by("base_model__name", "-number")
    found = rows.values_list("base_model__name", "number", "status", "current_of__pk")[:MOST_OFFERED]
    return [
        Offered(f"{name}@{number}", "current" if current else status) for name, number, status, current in found
    ]


@dataclass
class Standing:
    """A team that the caller sees: its own role there, and the e-mails of those who may raise it."""

    team: str
    role: str = ""
    owners: list[str] = field(default_factory=list)


def standings(by: Caller) -> list[Standing]:
    found: dict[str, Standing] = {}
    rows = Membership.objects.filter(team__in=teams(by, Act.READ), user__is_active=True)
    for row in rows.select_related("user", "team").order_by("team__slug", "user__email"):
        standing = found.setdefault(row.team.slug, Standing(row.team.slug))
        if by.user is not None and row.user_id == by.user.pk:
            standing.role = row.role
        if row.role == Role.OWNER:
            standing.owners.append(row.user.email)
    return list(found.values())
