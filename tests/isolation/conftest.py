"""Two teams alike: one holds secrets, and the strangers are people and programs of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import Role
from registry.models import ApiToken, ClientKey, User
from registry.services import audit, teams
from tests.isolation import walk
from tests.isolation.api_routes import API
from tests.isolation.cases import Case
from tests.isolation.page_routes import PAGES, PERSONAL
from tests.isolation.walk import MISSING, THEIRS, Answer, Asker, Names
from tests.make import make_engine
from tests.registry.filled import Filled, fill, kept

ADMINISTRATOR = "administrator"
DATA = API | PAGES | PERSONAL
OPEN = ("/healthz", "/readyz", "/metrics", "/api/schema/", "/api/docs/")  # to everybody
UNLIMITED = {"FAILURES_PER_MINUTE": 10**9, "TOKENS_PER_HOUR": 10**9, "ACCOUNT_RATE_LIMITS": False}


@dataclass
class Scene:
    mine: Names
    theirs: Names
    missing: Names
    secrets: frozenset[str]
    members: dict[str, Asker]
    nobody: list[Asker]
    strangers: list[Asker] = field(default_factory=list)
    # What an owner of mine is told at each address of its own, before there is another team, and beside it.
    alone: dict[str, Answer] = field(default_factory=dict)
    beside: dict[str, Answer] = field(default_factory=dict)


@pytest.fixture(scope="module")
def scene(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Scene]:
    with kept(django_db_blocker, tmp_path_factory.mktemp("isolation")), override_settings(**UNLIMITED):
        ours = fill(teams.create(by=SYSTEM, slug="finance", name="Finance"), name="ledger")
        _engine(ours)
        strangers = _strangers(ours)
        audit.seal()
        alone = at_home(_names(ours, "k"), strangers[0])
        common = walk.digests()
        walk.count_from(walk.FIRST)
        team = teams.create(by=SYSTEM, slug=f"{THEIRS}-team", name=f"{THEIRS} land")
        theirs = fill(team, name=f"{THEIRS}-thing", word=THEIRS, mail=f"{THEIRS}.example")
        _engine(ours, theirs)
        walk.count_from(walk.LATER)
        found = _scene(ours, theirs, walk.digests() - common)
        found.strangers, found.alone, found.beside = strangers, alone, at_home(found.mine, strangers[0])
        yield found


def _engine(*teams_: Filled) -> None:
    """It holds a version of each, and ticked in the future: nobody plays it on."""
    engine = make_engine(*[one.team.adapters.get().versions.earliest("number") for one in teams_])
    type(engine).objects.filter(pk=engine.pk).update(last_tick=timezone.now() + timedelta(days=1))


def at_home(mine: Names, owner: Asker) -> dict[str, Answer]:
    """What every GET of something of one's own tells an owner."""
    asks = [(path, DATA[path]["get"]) for path in API | PAGES if "get" in DATA[path]]
    return {
        path: Case(path, "get", ask, "mine", None, ask.query).put(owner, mine, mine)
        for path, ask in asks
        if path not in OPEN
    }


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
