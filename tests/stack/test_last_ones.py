"""Those who look after things remove each other at once, on SQLite and on PostgreSQL: somebody is left."""

from __future__ import annotations

from registry.access import SYSTEM, Caller
from registry.choices import Role
from registry.errors import Conflict, NotFound
from registry.models import Membership, Team, User
from registry.services import accounts, teams
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place

TURNS = 12


def test_an_administrator_is_left_when_two_close_each_other(place: Place) -> None:
    pair = [User.objects.create_superuser(f"{name}@example.org") for name in ("first", "second")]

    def close(number: int) -> str:
        by, other = Caller(user=pair[number]), pair[1 - number]
        try:
            accounts.set_active(by=by, email=other.email, active=False)
        except Conflict as refused:
            return refused.code
        return "closed"

    for _ in range(TURNS):
        assert sorted(at_once(close, 2)) == ["closed", "last_administrator"]
        assert User.objects.filter(is_staff=True, is_active=True).count() == 1
        for user in pair:
            accounts.set_active(by=SYSTEM, email=user.email, active=True)


def test_an_owner_is_left_when_two_remove_each_other(place: Place) -> None:
    team = Team.objects.create(slug="health", name="Health")
    pair = [User.objects.create_user(f"{name}@example.org") for name in ("first", "second")]

    def leave(number: int) -> bool:
        email = pair[number].email
        try:
            if number:
                teams.remove_member(by=SYSTEM, team=team, email=email)
            else:
                teams.set_member(by=SYSTEM, team=team, email=email, role=Role.VIEWER)
        except (Conflict, NotFound):
            return False
        return True

    for _ in range(TURNS):
        for user in pair:
            teams.set_member(by=SYSTEM, team=team, email=user.email, role=Role.OWNER)
        assert sorted(at_once(leave, 2)) == [False, True]
        assert Membership.objects.filter(team=team, role=Role.OWNER).count() == 1
