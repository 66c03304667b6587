"""Two teams alike: one holds secrets, and the strangers are people and programs of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.test import override_settings

from registry.access import SYSTEM
from registry.choices import Role
from registry.models import ApiToken, ClientKey, User
from registry.services import teams
from tests.isolation import walk
from tests.isolation.walk import MISSING, THEIRS, Asker, Names
from tests.make import make_engine
from tests.registry.filled import Filled, fill, kept

ADMINISTRATOR = "administrator"
UNLIMITED = {"FAILURES_PER_MINUTE": 10**9, "TOKENS_PER_HOUR": 10**9, "ACCOUNT_RATE_LIMITS": False}


@dataclass
class Scene:
    mine: Names
    theirs: Names
    missing: Names
    secrets: frozenset[str]
    members: dict[str, Asker]
    strangers: list[Asker]
    nobody: list[Asker]


@pytest.fixture(scope="module")
def scene(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Scene]:
    with kept(django_db_blocker, tmp_path_factory.mktemp("isolation")), override_settings(**UNLIMITED):
        ours = fill(teams.create(by=SYSTEM, slug="finance", name="Finance"), name="ledger")
        common = walk.digests()
        walk.count_from(walk.FIRST)
        team = teams.create(by=SYSTEM, slug=f"{THEIRS}-team", name=f"{THEIRS} land")
        theirs = fill(team, name=f"{THEIRS}-thing", word=THEIRS, mail=f"{THEIRS}.example")
        make_engine(*[one.team.adapters.get().versions.first() for one in (ours, theirs)])
        walk.count_from(walk.LATER)
        yield _scene(ours, theirs, walk.digests() - common)


def _scene(ours: Filled, theirs: Filled, digests: set[str]) -> Scene:
    prefixes = [
        *ApiToken.objects.filter(team=theirs.team).values_list("prefix", flat=True),
        *ClientKey.objects.filter(client__team=theirs.team).values_list("prefix", flat=True),
    ]
    return Scene(
        mine=_names(ours, "k"),
        theirs=_names(theirs, THEIRS),
        missing=_names(theirs, MISSING, missing=True),
        secrets=frozenset({*digests, *(text.lower() for text in prefixes)}),
        members={
            "token": Asker("member", credential=theirs.tokens[Role.OWNER]),
            "session": Asker("member", user=theirs.people[Role.OWNER]),
        },
        strangers=_strangers(ours),
        nobody=[Asker("nobody"), Asker("client key", credential=ours.key)],
    )


def _strangers(ours: Filled) -> list[Asker]:
    administrator = User.objects.create_user("administrator@example.org", None, is_staff=True)
    teams.set_member(by=SYSTEM, team=ours.team, email=administrator.email, role=Role.OWNER)
    people = [Asker(f"session of {role}", user=person) for role, person in ours.people.items()]
    programs = [Asker(f"token of {role}", credential=text) for role, text in ours.tokens.items()]
    return [*people, *programs, Asker(ADMINISTRATOR, user=administrator)]


def _names(filled: Filled, word: str, *, missing: bool = False) -> Names:
    version = filled.team.adapters.get().versions.earliest("number")
    digest = version.manifest.files["adapter_config.json"]["sha256"]
    minute = f"{version.created_at:%Y-%m-%d %H:%M}"
    return Names(filled, word, digest[::-1] if missing else digest, minute, filled.awaited, missing)
