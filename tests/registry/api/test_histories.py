"""Which clients had a version from when to when, against a replay of the record by a program of its own."""

from __future__ import annotations

import csv
import io

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.models import AdapterVersion, AuditEvent, Team
from registry.selectors import timeline
from registry.services import aliases, assignments, clients
from registry.services.assignments import Target
from tests.make import make_adapter, make_base_version, make_dataset_version, make_version
from tests.registry.services.test_replay import SLOTS, had, history, replay

__all__ = ["history"]
VERSION = "/api/v1/adapters/health/triage/versions"
BASE = "/api/v1/base-models/llama/versions/1/clients"
DATASET = "/api/v1/datasets/health/notes/versions/1/clients"


def assign(team: Team, client: str, version: AdapterVersion, **share: object) -> None:
    row = clients.create(by=SYSTEM, team=team, name=client, vertical="")
    target = Target(version.adapter, None, version, **share)  # type: ignore[arg-type]
    assignments.assign(by=SYSTEM, client=row, slot="default", target=target, reason="")


@pytest.fixture
def made(world, store):
    """Two versions on one base and one dataset; production moved from the first to the second."""
    notes, base = make_dataset_version(world.health), make_base_version()
    adapter = make_adapter(world.health, base=base)
    one, two = (make_version(world.health, dataset_version=notes) for _ in range(2))
    alias = aliases.move(by=SYSTEM, adapter=adapter, name="production", version=one, reason="")
    ward = clients.create(by=SYSTEM, team=world.health, name="ward", vertical="")
    assignments.assign(by=SYSTEM, client=ward, slot="default", target=Target(adapter, alias), reason="")
    aliases.move(by=SYSTEM, adapter=adapter, name="production", version=two, reason="better", force=True)
    assign(world.health, "clinic", two, canary_version=one, canary_percent=10)
    assign(world.finance, "bank", make_version(world.finance, "rates"))
    return one, two


def told(answer) -> list[tuple[str, str, int, bool]]:
    assert answer.status_code == 200, answer.content
    rows = answer.json()["results"]
    return sorted((row["client"], row["address"], row["percent"], row["valid_to"] is None) for row in rows)


def test_a_version_was_had_until_its_alias_moved_and_is_still_had_as_a_canary(api, made):
    assert told(api("bob").get(f"{VERSION}/1/clients")) == [
        ("health/clinic", "health/triage@2", 10, True),
        ("health/ward", "health/triage@1", 100, False),
    ]
    assert told(api("bob").get(f"{VERSION}/2/clients")) == [
        ("health/clinic", "health/triage@2", 90, True),
        ("health/ward", "health/triage@2", 100, True),
    ]


@pytest.mark.parametrize("path", [BASE, DATASET])
def test_a_canary_on_the_same_base_or_dataset_is_no_second_way(api, made, path):
    assert told(api("bob").get(path)) == [
        ("health/clinic", "health/triage@2", 100, True),
        ("health/ward", "health/triage@1", 100, False),
        ("health/ward", "health/triage@2", 100, True),
    ]


def test_clients_of_other_teams_are_only_counted(api, made):
    said = {name: api(name).get(BASE) for name in ("bob", "charlie")}
    assert {name: one["X-Plethora-Other-Clients"] for name, one in said.items()} == {"bob": "1", "charlie": "2"}
    assert [row[0] for row in told(said["charlie"])] == ["finance/bank"]
    assert "ward" not in said["charlie"].content.decode()


def test_a_version_of_another_team_is_a_missing_one(api, made):
    for path in (f"{VERSION}/1/clients", DATASET):
        for accept in ("application/json", "text/csv", "application/x-ndjson"):
            assert api("charlie").get(path, HTTP_ACCEPT=accept).status_code == 404


def test_a_span_leaves_out_what_ended_before_it_or_begins_after(api, made):
    moved = made[1].alias_history.get().valid_from.isoformat()
    assert told(api("bob").get(f"{VERSION}/1/clients", {"from": moved}))[0][0] == "health/clinic"
    assert told(api("bob").get(f"{VERSION}/2/clients", {"to": moved})) == []
    assert api("bob").get(BASE, {"from": "soon"}).status_code == 422


def test_it_is_a_table_too(api, made):
    said = api("bob").get(BASE, HTTP_ACCEPT="text/csv")
    rows = list(csv.DictReader(io.StringIO(said.getvalue().decode())))
    assert (len(rows), rows[0]["client"], said["X-Plethora-Other-Clients"]) == (3, "health/ward", "1")


def test_pages_cost_the_same_however_many_there_are(api, world, made, django_assert_num_queries):
    api("bob").get(BASE)  # the first use of a token is noted
    with django_assert_num_queries(5):
        assert len(told(api("bob").get(BASE))) == 3
    for number in range(8):
        assign(world.health, f"more-{number}", made[1])
    with django_assert_num_queries(5):
        page = api("bob").get(BASE, {"limit": 5}).json()
    assert len(page["results"]) == 5
    assert page["next"]


def held(versions, slots) -> dict[str, list]:
    """The stretches of each slot, in their order."""
    rows = timeline.of_versions(SYSTEM, versions).order_by("since")
    return {
        name: [row for row in rows if f"slot:{row.slot.client.address}/{row.slot.name}" == name] for name in slots
    }


def test_at_any_moment_it_says_what_a_replay_of_the_record_says(history):
    events, kinds = list(AuditEvent.objects.order_by("pk")), AdapterVersion.objects.all()
    lines, answered = replay(events), 0
    slots = [f"slot:{client.address}/{slot}" for client in history.clients for slot in SLOTS]
    sets = [kinds.filter(pk=row.pk) for row in kinds] + [kinds.filter(base_version=make_base_of(kinds))]
    sets.append(kinds.filter(adapter__name="triage", number__lte=2))
    moments = [*history.moments(events)[:300], timezone.now()]
    for versions in sets:
        wanted, found = {row.address for row in versions}, held(versions, slots)
        for moment in moments:
            for name in slots:
                shares = had(lines, name, moment) or []
                expected = sum(percent for address, percent, _ in shares if address in wanted)
                rows = [r for r in found[name] if r.since <= moment and (r.until is None or moment < r.until)]
                assert [row.percent for row in rows] == ([expected] if expected else []), (name, moment, wanted)
                answered += bool(rows)
    assert answered > len(moments)


def make_base_of(kinds):
    return kinds.first().base_version
