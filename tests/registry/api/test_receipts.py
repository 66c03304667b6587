from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import Client, Receipt
from tests.make import make_version


@pytest.fixture
def receipts(world, store):
    """Two of health's, an hour apart, and one of finance's."""
    now = timezone.now()
    versions = [make_version(world.health), make_version(world.health), make_version(world.finance, "other")]
    for number, version in enumerate(versions):
        at = now - timedelta(hours=1) if number == 0 else now
        client = Client.objects.get(team=version.adapter.team, builtin=True)
        Receipt.objects.create(
            request=f"r{number}",
            at=at,
            admitted_at=at,
            client=client,
            slot="default",
            version=version,
            base_version=version.base_version,
            digest=version.manifest_sha256,
            prompt_tokens=3,
            completion_tokens=4,
        )
    return now


def found(api, name, query=""):
    answer = api(name).get(f"/api/v1/receipts{query}")
    return (
        [row["request"] for row in answer.json()["results"]] if answer.status_code == 200 else answer.status_code
    )


def test_it_names_client_version_and_digest(api, receipts, world):
    row = api("bob").get("/api/v1/receipts").json()["results"][0]
    assert (row["client"], row["address"], row["adapter"]) == (
        "health/internal",
        "health/triage@2",
        "health/triage",
    )
    assert len(row["digest"]) == 64


def test_it_shows_only_own_receipts(api, receipts):
    assert found(api, "bob") == ["r1", "r0"]
    assert found(api, "charlie") == ["r2"]
    assert found(api, "charlie", "?client=health/internal") == 404
    assert found(api, "charlie", "?adapter=health/triage") == 404


def test_it_filters(api, receipts):
    assert found(api, "bob", "?adapter=health/triage@1") == ["r0"]
    assert found(api, "bob", "?adapter=health/triage") == ["r1", "r0"]
    cut = (receipts - timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
    assert found(api, "bob", f"?from={cut}") == ["r1"]
    assert found(api, "bob", f"?to={cut}&client=health/internal") == ["r0"]


def test_it_refuses_a_filter_that_it_cannot_read(api, receipts):
    assert found(api, "bob", "?from=yesterday") == 422
    assert found(api, "bob", "?adapter=a%20b") == 422


def test_they_are_a_table_with_digests(api, receipts):
    said = api("bob").get("/api/v1/receipts", HTTP_ACCEPT="text/csv").getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["request"] for row in rows] == ["r0", "r1"]
    assert [len(row["digest"]) for row in rows] == [64, 64]


def test_they_are_lines_of_own_receipts(api, receipts):
    said = api("charlie").get("/api/v1/receipts", HTTP_ACCEPT="application/x-ndjson").getvalue().decode()
    assert [json.loads(line)["request"] for line in said.splitlines()] == ["r2"]
    answer = api("charlie").get("/api/v1/receipts?client=health/internal", HTTP_ACCEPT="text/csv")
    assert answer.status_code == 404
