"""Teams and who is in them."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import Act, Caller, administers, require, require_administrator
from registry.choices import Role
from registry.errors import Conflict, NotFound
from registry.models import ApiToken, Client, Membership, Team, User
from registry.selectors import credentials as known
from registry.services import audit, gates


def create(*, by: Caller, slug: str, name: str) -> Team:
    """A team that its maker owns, with the built-in client `internal` on which its own traffic is booked."""
    require_administrator(by)
    try:
        with transaction.atomic():
            team = Team.objects.create(slug=slug, name=name)
            Client.objects.create(team=team, name="internal", builtin=True)
            audit.record(by, "team.create", f"team:{slug}", team=team, after={"slug": slug, "name": name})
            if by.person is not None:
                set_member(by=by, team=team, email=by.person.email, role=Role.OWNER)
            return team
    except IntegrityError as error:
        raise Conflict(f"There is a team '{slug}' already.", param="slug", code="exists") from error


def update(*, by: Caller, team: Team, **changes: Any) -> Team:
    """`name`; `auto_retrain`, whether a new base version starts a campaign by itself; and that one's gate."""
    _require_owner(by, team)
    if "auto_retrain_gate" in changes:
        changes["auto_retrain_gate"] = gates.validate(changes["auto_retrain_gate"], param="auto_retrain_gate")
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)
        team.refresh_from_db()
        before = {name: getattr(team, name) for name, value in changes.items() if getattr(team, name) != value}
        if before:
            after = {name: changes[name] for name in before}
            Team.objects.filter(pk=team.pk).update(**after)
            team.refresh_from_db()
            audit.record(by, "team.update", f"team:{team.slug}", team=team, before=before, after=after)
        return team


def set_member(*, by: Caller, team: Team, email: str, role: Role) -> Membership:
    """Add a person who has an account, or change the role."""
    _require_owner(by, team)
    user = User.objects.filter(email=email.lower()).first()
    if user is None:
        raise NotFound(f"Nobody here has the address {email}; an administrator makes the account.", param="user")
    with transaction.atomic():
        _lock(team)
        held = Membership.objects.filter(team=team, user=user).values_list("role", flat=True).first()
        before = {"role": held} if held else None
        if held == Role.OWNER and role != Role.OWNER:
            _keep_an_owner(team, user)
        member, _ = Membership.objects.update_or_create(team=team, user=user, defaults={"role": role})
        after = {"role": role}
        audit.record(by, "member.set", f"user:{user.email}", team=team, before=before, after=after)
        return member


def remove_member(*, by: Caller, team: Team, email: str) -> None:
    """The person's tokens of this team end too."""
    _require_owner(by, team)
    with transaction.atomic():
        _lock(team)
        member = Membership.objects.filter(team=team, user__email=email.lower()).select_related("user").first()
        if member is None:
            raise NotFound(f"{email} is not in team {team.slug}.")
        _keep_an_owner(team, member.user)
        living = ApiToken.objects.filter(team=team, owner=member.user, revoked_at__isnull=True)
        before = {"role": member.role, "tokens": living.update(revoked_at=timezone.now())}
        audit.record(by, "member.remove", f"user:{email}", team=team, before=before)
        member.delete()
    known.forget()


def _require_owner(by: Caller, team: Team) -> None:
    """An owner, or an administrator: a team's first members come from outside."""
    if not administers(by):
        require(by, Act.ADMIN, team)


def _lock(team: Team) -> None:
    """Changes of who is in a team take turns: two owners who remove each other at once would leave none."""
    Team.objects.select_for_update(no_key=True).only("pk").get(pk=team.pk)


def _keep_an_owner(team: Team, leaving: User) -> None:
    if not team.memberships.filter(role=Role.OWNER).exclude(user=leaving).exists():
        raise Conflict(
            f"Team {team.slug} would have no owner; make somebody else an owner first.", code="last_owner"
        )
