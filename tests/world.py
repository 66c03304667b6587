"""The cast of every test.

Alice owns team `health`; Bob is a viewer there; Erin is an editor there; Charlie owns team `finance`
and must see nothing of health. The administrator runs the installation and owns neither.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, models
from django.utils import timezone

from registry.access import SYSTEM, Caller
from registry.choices import Role, Scope
from registry.models import ApiToken, AuditEvent, Client, Membership, Team, User
from registry.services import teams, tokens


@dataclass
class World:
    health: Team
    finance: Team
    alice: User
    bob: User
    erin: User
    charlie: User
    admin: User
    tokens: dict[str, str] = field(default_factory=dict, init=False)

    def by(self, name: str) -> Caller:
        """The person as the actor of a service."""
        return Caller(user=getattr(self, name))


def build() -> World:
    """The cast as the services make it, and after the first time by the rows that they wrote."""
    if connection.vendor != "sqlite" or any(model._default_manager.exists() for model in WRITTEN):
        return _made()  # PostgreSQL counts its own ids on
    if not _remembered:
        _remembered.append((_made(), _rows(), timezone.now()))
        return copy.deepcopy(_remembered[0][0])
    world, rows, made = copy.deepcopy(_remembered[0])
    for row in rows:
        _shift(row, timezone.now() - made)
        row.save_base(raw=True, force_insert=True)
    return world


WRITTEN: list[type[models.Model]] = [User, Team, Client, Membership, ApiToken, AuditEvent]
_remembered: list[tuple[World, list[models.Model], datetime]] = []


def _shift(row: models.Model, by: timedelta) -> None:
    """As if it had been made so much later."""
    for column in row._meta.concrete_fields:
        moment = getattr(row, column.attname)
        if isinstance(moment, datetime):
            setattr(row, column.attname, moment + by)


def _rows() -> list[models.Model]:
    return [row for model in WRITTEN for row in model._default_manager.order_by("pk")]


def _made() -> World:
    people = {name: _person(name) for name in ("alice", "bob", "erin", "charlie", "admin")}
    User.objects.filter(pk=people["admin"].pk).update(is_staff=True)
    people["admin"].refresh_from_db()
    health = teams.create(by=SYSTEM, slug="health", name="Health")
    finance = teams.create(by=SYSTEM, slug="finance", name="Finance")
    for name, team, role in (
        ("alice", health, Role.OWNER),
        ("bob", health, Role.VIEWER),
        ("erin", health, Role.EDITOR),
        ("charlie", finance, Role.OWNER),
        ("admin", health, Role.OWNER),
    ):
        teams.set_member(by=SYSTEM, team=team, email=people[name].email, role=role)
    world = World(health, finance, **people)
    for name, team in (("alice", health), ("charlie", finance), ("admin", health)):
        world.tokens[name] = token(world, name, team, *Scope.values)
    world.tokens["bob"] = _minted_for(world, "bob", health, Scope.READ)
    world.tokens["erin"] = _minted_for(world, "erin", health, Scope.READ, Scope.TRAIN)
    return world


def token(world: World, name: str, team: Team, *scopes: str) -> str:
    """The text of a new token with these scopes, minted by the person."""
    return tokens.mint(by=world.by(name), team=team, name=f"of {name}", scopes=scopes, expires_at=None)[1]


def _minted_for(world: World, name: str, team: Team, *scopes: str) -> str:
    """Bob and Erin own no team: Alice minted theirs and passed them on."""
    text = token(world, "alice", team, *scopes)
    ApiToken.objects.filter(prefix=text.split("_")[1]).update(owner=getattr(world, name))
    return text


def _person(name: str) -> User:
    # An unusable password: hashing one for each of the cast would cost every test a second.
    return User.objects.create_user(f"{name}@example.org", None)
