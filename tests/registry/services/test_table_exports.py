"""Receipts and timelines prove themselves: each row with the events it rests on, by the public key alone."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from client import proofs
from registry.access import SYSTEM
from registry.models import AuditEvent, Client, Receipt
from registry.services import aliases, assignments, audit, audit_exports, clients
from registry.services.assignments import Target
from tests.make import make_version

EXPORT = "/api/v1/audit/export"
TIMELINE = {"table": "timeline", "client": "health/ward"}
RECEIPTS = {"table": "receipts", "client": "health/ward"}


def receipt(client, assignment, version) -> None:
    now = timezone.now()
    Receipt.objects.create(
        request=f"r{Receipt.objects.count()}", at=now, admitted_at=now, client=client, slot="default",
        assignment=assignment, version=version, base_version=version.base_version, digest=version.manifest_id,
    )  # fmt: skip


@pytest.fixture
def served(world, store):
    """A client that had two versions by one alias, each of which answered once; finance did something between."""
    versions = [make_version(world.health) for _ in range(2)]
    for version in versions:
        with transaction.atomic():
            after = {"digest": version.manifest_id}
            audit.record(
                SYSTEM, "adapter_version.create", f"adapter:{version.address}", team=world.health, after=after
            )
    adapter = versions[0].adapter
    alias = aliases.move(by=SYSTEM, adapter=adapter, name="production", version=versions[0], reason="")
    ward = clients.create(by=SYSTEM, team=world.health, name="ward", vertical="")
    made = assignments.assign(by=SYSTEM, client=ward, slot="default", target=Target(adapter, alias), reason="")
    receipt(ward, made, versions[0])
    clients.create(by=SYSTEM, team=world.finance, name="bank", vertical="")
    aliases.move(by=SYSTEM, adapter=adapter, name="production", version=versions[1], reason="", force=True)
    receipt(ward, made, versions[1])
    while audit.seal():
        pass
    audit.sign_head()
    return versions


def said(api, query, accept="application/x-ndjson") -> list[str]:
    answer = api("bob").get(EXPORT, query, HTTP_ACCEPT=accept)
    assert answer.status_code == 200, answer.content
    return answer.getvalue().decode().splitlines(keepends=True)


def verified(tmp_path, lines):
    path = tmp_path / "table"
    path.write_bytes("".join(lines).encode())
    return proofs.verify(path, audit.public_keys())


def rests_on(line, lines) -> list[tuple[str, str]]:
    events = {one["seq"]: one["event"] for one in map(json.loads, lines) if one["kind"] == "event"}
    return sorted((events[seq]["action"], events[seq]["object"]) for seq in line["proofs"])


def rows_of(lines):
    return [line for line in map(json.loads, lines) if line["kind"] == "row"]


@pytest.mark.parametrize("query", [TIMELINE, RECEIPTS])
@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_it_holds_by_the_public_key_alone(api, served, tmp_path, query, accept):
    found = verified(tmp_path, said(api, query, accept))
    assert (found["ok"], found["rows"], found["unproven"]) == (True, 2, 0)
    assert found["covered_by_head"] is not None


def test_a_stretch_rests_on_what_began_and_ended_it_and_on_its_version(api, served):
    lines = said(api, TIMELINE)
    first, second = rows_of(lines)
    assert rests_on(first, lines) == [
        ("adapter_version.create", "adapter:health/triage@1"),
        ("alias.create", "alias:health/triage@production"),
        ("alias.move", "alias:health/triage@production"),
        ("assignment.set", "slot:health/ward/default"),
    ]
    assert ("alias.move", "alias:health/triage@production") in rests_on(second, lines)
    assert second["says"]["manifest_sha256"] == served[1].manifest_id


def test_a_stretch_rests_on_the_plan_that_ended_it(api, served):
    ward, adapter = Client.objects.get(name="ward"), served[0].adapter
    soon, pinned = timezone.now() + timedelta(hours=1), Target(adapter, None, served[0])
    made = assignments.assign(by=SYSTEM, client=ward, slot="default", target=pinned, reason="", starts_at=soon)
    lines = said(api, TIMELINE)
    plan = next(
        one["seq"]
        for one in map(json.loads, lines)
        if one["kind"] == "event" and (one["event"]["after"] or {}).get("assignment") == made.pk
    )
    assert [plan in row["proofs"] for row in rows_of(lines)] == [False, True, True]


def test_a_receipt_rests_on_what_held_when_it_was_admitted(api, served):
    lines = said(api, RECEIPTS)
    found = [rests_on(row, lines) for row in rows_of(lines)]
    assert [one[1][0] for one in found] == ["alias.create", "alias.move"]
    assert [row["says"]["digest"] for row in rows_of(lines)] == [row.manifest_id for row in served]


def test_nothing_of_another_team_is_in_it(api, served):
    assert "bank" not in "".join(said(api, RECEIPTS))
    assert api("charlie").get(EXPORT, TIMELINE).status_code == 404


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"table": "timeline"}, "client"),
        ({"client": "health/ward"}, "client"),
        ({**TIMELINE, "adapter": "health/triage"}, "adapter"),
        ({**TIMELINE, "everything": "true"}, "everything"),
        ({"table": "clients"}, "table"),
    ],
)
def test_it_refuses_what_would_narrow_nothing(api, served, query, param):
    answer = api("bob").get(EXPORT, query)
    assert (answer.status_code, answer.json()["param"]) == (422, param)


def test_it_refuses_more_rows_than_it_can_prove_at_once(api, served, monkeypatch):
    monkeypatch.setattr(audit_exports, "MOST_ROWS", 1)
    assert api("bob").get(EXPORT, RECEIPTS).json()["param"] == "from"


def test_a_span_of_a_timeline(api, served):
    moved = served[1].alias_history.get().valid_from.isoformat()
    assert [row["says"]["version"] for row in rows_of(said(api, {**TIMELINE, "from": moved}))] == [2]
    assert [row["says"]["version"] for row in rows_of(said(api, {**TIMELINE, "to": moved}))] == [1]


def test_a_span_of_receipts(api, served, tmp_path):
    later = (timezone.now() + timedelta(days=1)).isoformat()
    found = verified(tmp_path, said(api, {"table": "receipts", "from": later}))
    assert (found["rows"], found["events"]) == (0, 0)


def test_it_is_itself_recorded(api, served):
    said(api, TIMELINE)
    assert AuditEvent.objects.order_by("pk").last().after == {"table": "timeline", "client": "health/ward"}


def edit(lines, place, change):
    line = json.loads(lines[place])
    change(line)
    return [*lines[:place], audit.canonical(line).decode() + "\n", *lines[place + 1 :]]


def test_it_names_the_row_that_was_touched(api, served, tmp_path):
    lines = said(api, RECEIPTS)
    rows = [place for place, line in enumerate(lines) if json.loads(line)["kind"] == "row"]
    first, last = rows[0], rows[-1]
    other = next(one["seq"] for one in map(json.loads, lines) if one["kind"] == "link")
    touched = {
        "edited": (edit(lines, first, lambda r: r["says"].update(digest="0" * 64)), "digest is not the one"),
        "client": (edit(lines, first, lambda r: r["says"].update(client="health/x")), "is not the row's"),
        "tokens": (edit(lines, first, lambda r: r["says"].update(prompt_tokens=9)), "sha256"),
        "proof": (edit(lines, first, lambda r: r.update(proofs=[other])), "no event above it"),
        "no proof": (edit(lines, first, lambda r: r.update(proofs=[])), "sha256"),
        "dropped": ([*lines[:first], *lines[first + 1 :]], "row 2 follows row 0"),
        "dropped last": ([*lines[:last], *lines[last + 1 :]], "manifest"),
        "twice": ([*lines[:last], lines[first], *lines[last:]], "row 1 follows row 1"),
        "in another order": ([*lines[:first], lines[last], lines[first], *lines[last + 1 :]], "row 2 follows"),
        "before the record": ([lines[0], lines[first], *lines[1:first], *lines[first + 1 :]], "no event above it"),
        "no table": (edit(lines, 0, lambda r: r.pop("table")), "no row of a table"),
        "an event dropped": ([*lines[:2], *lines[3:]], "follows|manifest"),
    }
    for changed, problem in touched.values():
        with pytest.raises(proofs.Broken, match=problem):
            verified(tmp_path, changed)
