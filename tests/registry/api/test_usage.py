"""Usage over HTTP: grouped as asked, narrowed to the caller, as pages and as tables."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from registry.access import SYSTEM
from registry.models import UsageHour
from registry.services import clients
from tests.make import make_version

USAGE = "/api/v1/usage"
NOON = datetime(2026, 5, 31, 23, tzinfo=UTC)


@pytest.fixture
def used(world, store):
    """Two clients of health over the end of a month, the bare base too; one of finance."""
    versions = [make_version(world.health), make_version(world.health), make_version(world.finance, "other")]
    ward, clinic = (
        clients.create(by=SYSTEM, team=world.health, name=name, vertical="") for name in ("ward", "clinic")
    )
    bank = clients.create(by=SYSTEM, team=world.finance, name="bank", vertical="")
    rows = [
        (NOON, ward, versions[0], 1),
        (NOON + timedelta(hours=1), ward, versions[1], 2),
        (NOON + timedelta(hours=1), clinic, versions[1], 4),
        (NOON + timedelta(hours=2), clinic, None, 8),
        (NOON, bank, versions[2], 100),
    ]
    for hour, client, version, requests in rows:
        base = (version or versions[0]).base_version
        UsageHour.objects.create(
            hour=hour, client=client, slot="default", version=version, base_version=base, requests=requests,
            prompt_tokens=requests * 10, completion_tokens=requests * 100,
        )  # fmt: skip


def told(api, query, who="bob"):
    answer = api(who).get(f"{USAGE}?{query}")
    assert answer.status_code == 200, answer.content
    return [tuple(row.values())[:-2] for row in answer.json()["results"]]


HOURS = [f"2026-{at}:00:00Z" for at in ("05-31T23", "06-01T00", "06-01T01")]
DAYS = ["2026-05-31T00:00:00Z", "2026-06-01T00:00:00Z"]
MONTHS = ["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("group_by=hour", [(HOURS[0], 1), (HOURS[1], 6), (HOURS[2], 8)]),
        ("", [(DAYS[0], 1), (DAYS[1], 14)]),
        ("group_by=month", [(MONTHS[0], 1), (MONTHS[1], 14)]),
        ("group_by=client", [("health/clinic", 12), ("health/ward", 3)]),
        ("group_by=adapter", [(None, 8), ("health/triage", 7)]),
        (
            "group_by=version",
            [(None, None, "llama@1", 8), ("health/triage", 1, "health/triage@1", 1),
             ("health/triage", 2, "health/triage@2", 6)],
        ),
        ("group_by=client,month", [(MONTHS[0], "health/ward", 1), (MONTHS[1], "health/clinic", 12),
                                   (MONTHS[1], "health/ward", 2)]),
        ("client=health/ward", [(DAYS[0], 1), (DAYS[1], 2)]),
        ("adapter=health/triage@2&group_by=client", [("health/clinic", 4), ("health/ward", 2)]),
        ("adapter=health/triage&group_by=month", [(MONTHS[0], 1), (MONTHS[1], 6)]),
        ("group_by=hour&from=2026-06-01T00:00:00Z&to=2026-06-01T01:00:00Z", [(HOURS[1], 6)]),
    ],
)  # fmt: skip
def test_it_adds_up_by_what_is_asked(api, used, query, expected):
    assert told(api, query) == expected


def test_it_adds_up_tokens_too(api, used):
    row = api("bob").get(f"{USAGE}?group_by=client&client=health/ward").json()["results"][0]
    assert (row["requests"], row["prompt_tokens"], row["completion_tokens"]) == (3, 30, 300)


def test_another_team_s_usage_is_its_own(api, used):
    assert told(api, "group_by=client", "charlie") == [("finance/bank", 100)]
    assert api("charlie").get(f"{USAGE}?client=health/ward").status_code == 404
    assert api("charlie").get(f"{USAGE}?adapter=health/triage").status_code == 404
    assert api(None).get(USAGE).status_code == 401


@pytest.mark.parametrize(
    ("query", "param"), [("group_by=team", "group_by"), ("group_by=day,", "group_by"), ("to=x", "to")]
)
def test_it_names_what_it_cannot_read(api, used, query, param):
    answer = api("bob").get(f"{USAGE}?{query}")
    assert (answer.status_code, answer.json()["param"]) == (422, param)


@pytest.mark.parametrize("group_by", ["hour,client", "client", "version,client", "adapter"])
def test_pages_tell_each_group_once(api, used, group_by):
    seen, url = [], f"{USAGE}?group_by={group_by}&limit=1"
    while url:
        page = api("bob").get(url).json()
        seen += [tuple(row.values())[:-2] for row in page["results"]]
        url = page["next"]
    assert seen == told(api, f"group_by={group_by}")


def test_it_is_a_table_too(api, used):
    said = api("bob").get(f"{USAGE}?group_by=client", HTTP_ACCEPT="text/csv").getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(said)))
    assert list(rows[0]) == ["client", "requests", "prompt_tokens", "completion_tokens"]
    assert [row["requests"] for row in rows] == ["12", "3"]


def test_it_is_lines_too(api, used):
    said = api("bob").get(f"{USAGE}?group_by=month", HTTP_ACCEPT="application/x-ndjson").getvalue().decode()
    assert [json.loads(line)["requests"] for line in said.splitlines()] == [1, 14]


def test_no_usage_is_no_failure(api, world):
    assert api("bob").get(USAGE).json()["results"] == []
    assert api("bob").get(USAGE, HTTP_ACCEPT="text/csv").getvalue().count(b"\n") == 1
