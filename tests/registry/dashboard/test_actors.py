"""A token that acted is shown by its name and its person; what the record calls it is kept in the title."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import Caller
from registry.models import Alias, ApiToken
from registry.selectors import actors
from registry.services import aliases, assignments, audit, clients, freezes, tokens
from tests.make import make_version
from tests.world import World

Pages = Callable[[str | None], Client]


@pytest.fixture
def ci(world: World) -> ApiToken:
    """It promoted a version and assigned it to a client."""
    row, _ = tokens.mint(
        by=world.by("alice"), team=world.health, name="ci", scopes=["read", "publish", "assign"], expires_at=None
    )
    by, version = Caller(token=row), make_version(world.health, "triage")
    aliases.move(by=by, adapter=version.adapter, name="production", version=version, reason="passed")
    ward = clients.create(by=by, team=world.health, name="ward", vertical="")
    target = assignments.Target(version.adapter, alias=Alias.objects.get(name="production"))
    assignments.assign(by=by, client=ward, slot="default", target=target, reason="signed")
    return row


PATHS = (
    "/audit", "/audit?who=health/ward", "/adapters/health/triage", "/adapters/health/triage/activity",
    "/clients/health/ward", "/clients/health/ward/activity", "/adapters/health/triage/1/clients",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_page_names_the_token_and_its_person(ci: ApiToken, pages: Pages, path: str) -> None:
    said = pages("bob").get(path).content.decode()
    assert f'<span title="token:{ci.prefix}">ci (token)</span> <span class="second">of alice@example.org' in said
    assert f">token:{ci.prefix}<" not in said


def test_a_freeze_says_who_froze_on_every_page(world: World, ci: ApiToken, pages: Pages) -> None:
    until = timezone.now() + timedelta(hours=1)
    freezes.freeze(by=Caller(token=ci), team=world.health, reason="audit week", until=until)
    for path in ("/jobs", "/freezes"):
        assert "ci (token)</span>" in pages("bob").get(path).content.decode()


def test_exports_keep_what_the_record_says(ci: ApiToken, pages: Pages) -> None:
    rows = pages("bob").get("/api/v1/audit?format=csv").getvalue().decode()
    assert f"token:{ci.prefix}" in rows
    assert "(token)" not in rows


def test_another_teams_token_keeps_its_name_to_itself(world: World, ci: ApiToken, pages: Pages) -> None:
    audit.record(Caller(token=ci), "base_version.activate", "base:llama@1")
    said = pages("charlie").get("/audit").content.decode()
    assert f"token:{ci.prefix}" in said
    assert "ci (token)" not in said
    assert actors.named(world.by("charlie"), [f"token:{ci.prefix}"]) == {}


def test_all_tokens_of_a_page_take_one_query(world: World) -> None:
    made = [
        tokens.mint(by=world.by("alice"), team=world.health, name=f"t{n}", scopes=["read"], expires_at=None)[0]
        for n in range(4)
    ]
    with CaptureQueriesContext(connection) as queries:
        found = actors.named(world.by("bob"), [*(f"token:{one.prefix}" for one in made), "token:gone", "system"])
    assert len(queries) == 1
    assert [found[f"token:{one.prefix}"].name for one in made] == ["t0", "t1", "t2", "t3"]
    with CaptureQueriesContext(connection) as queries:
        assert actors.named(world.by("bob"), ["alice@example.org", "system"]) == {}
    assert len(queries) == 0
