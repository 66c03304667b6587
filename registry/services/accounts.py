"""How an installation gets its first people."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from django.db import transaction

from registry.access import SYSTEM, Caller
from registry.choices import Scope
from registry.errors import Conflict
from registry.models import Team, User
from registry.services import audit, teams, tokens


@dataclass(frozen=True)
class Bootstrapped:
    """Password and token are shown once and kept nowhere."""

    user: User
    team: Team
    password: str = field(repr=False)
    token: str = field(repr=False)


def bootstrap(*, email: str, team: str, name: str) -> Bootstrapped:
    """The first administrator, who owns the first team and a token of it with all scopes.

    Raises Conflict on an installation that has an administrator already.
    """
    with transaction.atomic():
        known = User.objects.filter(is_staff=True).order_by("pk").first()
        if known is not None:
            raise Conflict(
                f"This installation exists already: {known.email} is its administrator. Nothing was changed; the "
                "password and the token were shown once. Set another password with `manage.py changepassword "
                f"{known.email}`; sign in to mint another token.",
                code="exists",
            )
        password = secrets.token_urlsafe(18)
        user = User.objects.create_superuser(email, password)
        audit.record(SYSTEM, "user.create", f"user:{user.email}", after={"administrator": True})
        row = teams.create(by=Caller(user=user), slug=team, name=name)
        _, text = tokens.mint(
            by=Caller(user=user), team=row, name="bootstrap", scopes=Scope.values, expires_at=None
        )
    return Bootstrapped(user, row, password, text)
