"""The record over HTTP: lists and tables, exports that prove themselves, the keys that they are proved with."""

from __future__ import annotations

import csv
import io
import json

import pytest

from client import proofs
from registry.access import SYSTEM
from registry.services import aliases, assignments, audit, clients
from tests.make import make_version

AUDIT = "/api/v1/audit"


@pytest.fixture
def clinic(world, store):
    """Follows production, which has moved once; its name begins like a formula's."""
    by, versions = world.by("alice"), [make_version(world.health) for _ in range(2)]
    alias = aliases.move(by=by, adapter=versions[0].adapter, name="production", version=versions[0], reason="")
    made = clients.create(by=by, team=world.health, name="clinic", vertical="")
    target = assignments.Target(versions[0].adapter, alias)
    assignments.assign(by=by, client=made, slot="default", target=target, reason="=1+1")
    aliases.move(by=SYSTEM, adapter=alias.adapter, name="production", version=versions[1], reason="", force=True)
    clients.create(by=world.by("charlie"), team=world.finance, name="bank", vertical="")
    return made


def text(answer):
    assert answer.status_code == 200, answer.content
    return answer.getvalue().decode()


def verified(api, tmp_path, content):
    keys = api("bob").get(f"{AUDIT}/keys").json()["results"]
    path = tmp_path / "export"
    path.write_bytes(content.encode())
    return proofs.verify(path, {key["id"]: key["public_key"] for key in keys})


@pytest.mark.parametrize(
    ("accept", "kind"), [("*/*", "application/x-ndjson"), ("text/csv", "text/csv"), ("application/json", None)]
)
def test_an_export_holds_in_both_forms(api, clinic, tmp_path, accept, kind):
    answer = api("bob").get(f"{AUDIT}/export", HTTP_ACCEPT=accept)
    assert answer["Content-Type"].startswith(kind or "application/x-ndjson")
    assert "attachment" in answer["Content-Disposition"]
    assert verified(api, tmp_path, text(answer))["events"] > 5


def test_an_export_that_was_edited_in_a_column_does_not_hold(api, clinic, tmp_path):
    content = text(api("bob").get(f"{AUDIT}/export", HTTP_ACCEPT="text/csv"))
    changed = content.replace(",alice@example.org,", ",bob@example.org,", 1)
    assert changed != content
    with pytest.raises(proofs.Broken):
        verified(api, tmp_path, changed)


def test_an_export_of_another_team_has_nothing_of_this_one(api, clinic):
    said = text(api("charlie").get(f"{AUDIT}/export"))
    assert "bank" in said
    assert "clinic" not in said
    assert "health" not in said


def test_an_export_takes_a_span(api, clinic, tmp_path):
    empty = text(api("bob").get(f"{AUDIT}/export?to=2001-01-01T00:00:00Z"))
    assert verified(api, tmp_path, empty)["events"] == 0
    assert api("bob").get(f"{AUDIT}/export?from=soon").json()["param"] == "from"


def test_everything_is_for_administrators(api, clinic):
    assert api("alice").get(f"{AUDIT}/export?everything=true").status_code == 403
    assert "bank" in text(api("admin").get(f"{AUDIT}/export?everything=true"))


def test_the_keys_are_those_that_sign(api, world):
    key = api("charlie").get(f"{AUDIT}/keys").json()["results"][0]
    assert {key["id"]: key["public_key"]} == audit.public_keys()
    assert key["algorithm"] == "Ed25519"


@pytest.mark.parametrize("path", ["export", "keys"])
def test_nobody_reads_without_credentials(api, path):
    assert api(None).get(f"{AUDIT}/{path}").status_code == 401


def test_a_client_s_events_have_the_moves_of_the_alias_that_it_follows(api, clinic):
    found = api("bob").get(f"{AUDIT}?client=health/clinic").json()["results"]
    assert [event["action"] for event in found] == [
        "alias.move",
        "assignment.set",
        "client.create",
        "alias.create",
    ]
    assert api("charlie").get(f"{AUDIT}?client=health/clinic").json()["results"] == []


def test_a_table_runs_no_formula(api, clinic):
    said = text(api("bob").get(f"{AUDIT}?action=assignment.set", HTTP_ACCEPT="text/csv"))
    row = next(csv.DictReader(io.StringIO(said)))
    assert (row["reason"], row["team"], row["token"]) == ("'=1+1", "health", "")
    assert json.loads(row["after"])["alias"] == "production"


@pytest.mark.parametrize("q", ["MEMBER.set", "bob@example", "editor"])
def test_it_finds_what_an_event_says_anywhere(api, q):
    member = {"user": "bob@example.org", "role": "editor"}
    api("alice").post("/api/v1/teams/health/members", member, format="json")
    rows = api("alice").get(AUDIT, {"q": q}).json()["results"]
    assert rows
    assert all(q.lower() in str(row).lower() for row in rows)
    assert api("charlie").get(AUDIT, {"q": "bob@example"}).json()["results"] == []


def test_lines_are_oldest_first(api, clinic):
    said = text(api("bob").get(AUDIT, HTTP_ACCEPT="application/x-ndjson"))
    ids = [int(json.loads(line)["id"]) for line in said.splitlines()]
    assert ids == sorted(ids)
    assert len(ids) > 5
