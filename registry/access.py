"""Who may see or do what: the one way to a row that a team owns.

What the caller can't see answers `NotFound`, as if it were missing; what it sees but may not do
answers `Forbidden`. There is no flag that skips this; the system acts as `SYSTEM`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone

from registry.choices import Role, Scope
from registry.errors import Forbidden, NotFound, Unauthenticated
from registry.models import ApiToken, Membership, Team, User

M = TypeVar("M", bound=Model)
R = TypeVar("R")


class Act(StrEnum):
    READ = "read"
    TRAIN = "train"
    PUBLISH = "publish"
    ASSIGN = "assign"
    SERVE = "serve"
    ADMIN = "admin"
    INSTALL = "install"


ROLE_ORDER = (Role.VIEWER, Role.EDITOR, Role.MAINTAINER, Role.OWNER)

# act -> (the least role of a person, the scope of a token)
TABLE: dict[Act, tuple[Role | None, Scope]] = {
    Act.READ: (Role.VIEWER, Scope.READ),
    Act.TRAIN: (Role.EDITOR, Scope.TRAIN),
    Act.PUBLISH: (Role.MAINTAINER, Scope.PUBLISH),
    Act.ASSIGN: (Role.MAINTAINER, Scope.ASSIGN),
    Act.SERVE: (Role.VIEWER, Scope.SERVE),
    Act.ADMIN: (Role.OWNER, Scope.ADMIN),
    Act.INSTALL: (None, Scope.ADMIN),
}


@dataclass(frozen=True)
class Caller:
    """Who acts: a person, a team's token, or the system (on behalf of whoever asked)."""

    user: User | None = None
    token: ApiToken | None = None
    system: bool = False
    on_behalf_of: str = ""
    request_id: str = ""

    @property
    def name(self) -> str:
        if self.system:
            return "system"
        if self.token is not None:
            return f"token:{self.token.prefix}"
        return self.user.email if self.user else "anonymous"

    @property
    def administrator(self) -> bool:
        person = self.token.owner if self.token is not None else self.user
        return self.system or bool(person and person.is_active and person.is_staff)

    @property
    def person(self) -> User | None:
        """The user whose row is named as `created_by`."""
        return self.token.owner if self.token is not None else self.user

    def behalf(self, name: str) -> Caller:
        return replace(self, on_behalf_of=name)


SYSTEM = Caller(system=True)


def roles_allowing(act: Act) -> tuple[Role, ...]:
    least = TABLE[act][0]
    return () if least is None else ROLE_ORDER[ROLE_ORDER.index(least) :]


def teams(by: Caller, act: Act = Act.READ) -> QuerySet[Team]:
    """The teams in which the caller may do `act`."""
    if by.system:
        return Team.objects.all()
    if by.token is not None:
        has_scope = TABLE[act][1] in by.token.scopes
        return Team.objects.filter(pk=by.token.team_id) if has_scope else Team.objects.none()
    if by.user is None:
        raise Unauthenticated("Sign in or send an API token.")
    return Team.objects.filter(memberships__user=by.user, memberships__role__in=roles_allowing(act))


def seen_teams(by: Caller) -> QuerySet[Team]:
    """The teams whose things are not 404 for the caller, whatever it may do with them."""
    if by.token is not None:
        return Team.objects.filter(pk=by.token.team_id)
    return teams(by, Act.READ)


def visible(by: Caller, rows: QuerySet[M], *, team: str = "team") -> QuerySet[M]:
    """`rows` narrowed to what the caller may read. `team` is the path from the row to its team."""
    if by.system:
        return rows.all()
    if by.token is not None:
        require_scope(by, Act.READ)
        return rows.filter(**{team: by.token.team_id})
    return rows.filter(**{f"{team}__in": teams(by, Act.READ)})


def fetch(by: Caller, act: Act, rows: QuerySet[M], *, team: str = "team", **lookup: Any) -> M:
    """The one row that `lookup` names, if the caller sees its team and may do `act` there."""
    seen = rows if by.system else rows.filter(**_of_seen(by, team))
    row = sole(seen.filter(**lookup))
    if row is None:
        raise NotFound(f"No such {rows.model._meta.verbose_name}: {_words(lookup)}.")
    owner: Any = row
    for step in team.split("__"):
        owner = owner if step == "pk" else getattr(owner, step)
    require(by, act, owner)
    return row


def sole(rows: QuerySet[M, R]) -> R | None:
    """The only one of `rows`, which a unique key names. `first()` would sort it, at the cost of reading it."""
    return next(iter(rows), None)


def _of_seen(by: Caller, team: str) -> dict[str, Any]:
    """The filter that narrows rows to the caller's teams; `team` is the path to them."""
    return {team: by.token.team_id} if by.token is not None else {f"{team}__in": seen_teams(by)}


def require(by: Caller, act: Act, team: Team) -> None:
    """Raise unless the caller may do `act` in `team`."""
    if by.system:
        return None
    if by.token is not None:  # it knows its team: nothing is asked, since every request comes by here
        if by.token.team_id != team.pk:
            raise NotFound(f"No such team: {team.slug}.")
        return require_scope(by, act)
    if not seen_teams(by).filter(pk=team.pk).exists():
        raise NotFound(f"No such team: {team.slug}.")
    if not teams(by, act).filter(pk=team.pk).exists():
        raise Forbidden(f"This needs the role {TABLE[act][0]} in team {team.slug}; ask one of its owners.")
    return None


def require_scope(by: Caller, act: Act) -> None:
    scope = TABLE[act][1]
    if by.token is not None and scope not in by.token.scopes:
        raise Forbidden(f"This token lacks the scope '{scope}'; mint one that has it.", code="missing_scope")


def administers(by: Caller) -> bool:
    """Whether it may look after the installation: its base models and teams, not what the teams own."""
    return by.administrator and (by.token is None or TABLE[Act.INSTALL][1] in by.token.scopes)


def require_administrator(by: Caller) -> None:
    """Base models and teams: the installation's administrators, or a token with `admin` of one of them."""
    if by.system:
        return
    require_scope(by, Act.INSTALL)
    if not by.administrator:
        raise Forbidden("Only an administrator of this installation may do that.")


def role_in(user: User, team: Team) -> str | None:
    return Membership.objects.filter(user=user, team=team).values_list("role", flat=True).first()


def standing(by: Caller, team: Team) -> Role | None:
    """The role in which the caller acts: a person's own; a token's the highest that its scopes speak for."""
    if by.token is not None:
        return _spoken_for(by.token) if by.token.team_id == team.pk else None
    role = role_in(by.user, team) if by.user is not None and by.user.is_active else None
    return None if role is None else Role(role)


def _spoken_for(token: ApiToken) -> Role | None:
    ended = token.expires_at is not None and token.expires_at <= timezone.now()
    if ended or token.revoked_at is not None or not token.owner.is_active:
        return None
    spoken = [least for least, scope in TABLE.values() if least is not None and scope in token.scopes]
    return max(spoken, key=ROLE_ORDER.index, default=None)


def _words(lookup: dict[str, Any]) -> str:
    return "/".join(str(value) for value in lookup.values())
