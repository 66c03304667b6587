"""Who had what as a table: each interval with its version's digest."""

from __future__ import annotations

import csv
import io
import json

import pytest

from registry.access import SYSTEM
from registry.services import aliases, assignments, clients
from tests.make import make_version

TIMELINE = "/api/v1/clients/health/ward/timeline"


@pytest.fixture
def moved(world, store):
    """A slot that followed production over one move of it."""
    versions = [make_version(world.health) for _ in range(2)]
    alias = aliases.move(by=SYSTEM, adapter=versions[0].adapter, name="production", version=versions[0], reason="")
    ward = clients.create(by=SYSTEM, team=world.health, name="ward", vertical="")
    target = assignments.Target(versions[0].adapter, alias)
    assignments.assign(by=SYSTEM, client=ward, slot="default", target=target, reason="@first")
    aliases.move(by=SYSTEM, adapter=alias.adapter, name="production", version=versions[1], reason="", force=True)
    return versions


def test_it_is_a_table_oldest_first(api, moved):
    said = api("bob").get(TIMELINE, HTTP_ACCEPT="text/csv").getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [(row["address"], row["manifest_sha256"]) for row in rows] == [
        (version.address, version.manifest_id) for version in moved
    ]
    assert (rows[0]["valid_to"], rows[0]["reason"]) == (rows[1]["valid_from"], "'@first")


def test_it_is_lines_too(api, moved):
    said = api("bob").get(TIMELINE, HTTP_ACCEPT="application/x-ndjson").getvalue().decode()
    assert [json.loads(line)["version"] for line in said.splitlines()] == [1, 2]


def test_another_team_finds_nothing_in_any_form(api, moved):
    for accept in ("application/json", "text/csv", "application/x-ndjson"):
        assert api("charlie").get(TIMELINE, HTTP_ACCEPT=accept).status_code == 404
