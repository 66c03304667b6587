"""Every list that a page shows is a table too: of the same filter, whole, and without formulas."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.services import adapters, aliases, campaigns, clients, datasets, freezes, holds, waivers
from tests.make import make_adapter, make_base_version, make_version

API = "/api/v1"
LATER = timezone.now() + timedelta(days=1)
pytestmark = pytest.mark.usefixtures("store")


def table(answer):
    assert answer.status_code == 200, answer.getvalue()
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


@pytest.fixture
def made(world):
    """One of each list, of health; the adapter is stale."""
    version = make_version(world.health)
    aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="first")
    make_base_version("llama", change="weights")
    clients.create(by=SYSTEM, team=world.health, name="clinic", vertical="healthcare")
    datasets.create(by=SYSTEM, team=world.health, name="diary", vertical="healthcare")
    campaigns.create(by=world.by("alice"), base_model=version.adapter.base_model)
    freezes.freeze(by=world.by("alice"), team=world.health, reason="audit week", until=LATER)
    holds.place(by=SYSTEM, team=world.health, reason="case 7")
    return version


LISTS = [
    ("adapters", "stale=true&vertical=healthcare", {"address": "health/triage"}),
    ("adapter-versions", "status=ready", {"address": "health/triage@1"}),
    ("adapters/health/triage/versions", "", {"address": "health/triage@1"}),
    ("clients", "q=clin", {"address": "health/clinic"}),
    ("datasets", "team=health&q=diary", {"address": "health/diary"}),
    ("campaigns", "state=draft", {"team": "health"}),
    ("freezes", "active=true", {"reason": "audit week"}),
    ("audit/holds", "active=true", {"reason": "case 7"}),
]


@pytest.mark.parametrize(("path", "query", "said"), LISTS)
def test_it_is_of_the_filter_and_of_ones_own(api, made, path, query, said):
    (row,) = table(api("bob").get(f"{API}/{path}?format=csv&{query}"))
    assert said.items() <= row.items()
    other = api("charlie").get(f"{API}/{path}?format=csv&{query}")
    assert other.status_code == 404 if "triage/" in path else table(other) == []


@pytest.mark.parametrize("path", ["adapters", "clients", "jobs", "campaigns", "base-models", "assignments/bulk"])
def test_nothing_is_a_head_without_rows(api, world, path):
    text = api("bob").get(f"{API}/{path}?format=csv").getvalue().decode()
    assert text.count("\n") == 1
    assert "created_at" in text


def test_it_refuses_what_the_list_refuses(api, world):
    answer = api("bob").get(f"{API}/adapters?format=csv&verticl=x")
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")


def test_a_formula_is_text(api, world):
    row = make_adapter(world.health)
    adapters.change(by=world.by("alice"), adapter=row, description="=HYPERLINK(1)")
    (found,) = table(api("bob").get(f"{API}/adapters?format=csv"))
    assert found["description"] == "'=HYPERLINK(1)"


def test_it_is_whole_and_in_the_order_that_is_asked_for(api, world):
    base = make_base_version()
    names = [f"a-{number:03}" for number in range(60)]
    for name in names:
        make_adapter(world.health, name, base=base)
    rows = table(api("bob").get(f"{API}/adapters?format=csv&order_by=-name&limit=5"))
    assert [row["name"] for row in rows] == names[::-1]


def more(world, made, numbers):
    for number in numbers:
        version = make_version(world.health, f"more-{number}", base=made.base_version)
        clients.create(by=SYSTEM, team=world.health, name=f"more-{number}", vertical="")
        campaigns.create(by=world.by("alice"), adapters=[version.adapter])


@pytest.mark.parametrize("path", ["adapters", "adapter-versions", "clients", "campaigns"])
def test_it_costs_the_same_however_many_there_are(api, world, made, path, django_assert_max_num_queries):
    url = f"{API}/{path}?format=csv"
    more(world, made, range(2))
    table(api("alice").get(url))  # the first use of a token is noted
    with django_assert_max_num_queries(25) as few:
        assert len(table(api("alice").get(url))) == 3
    more(world, made, range(2, 8))
    with django_assert_max_num_queries(len(few)):
        assert len(table(api("alice").get(url))) == 9


def test_a_page_of_campaigns_costs_the_same_however_many_there_are(api, world, made, django_assert_num_queries):
    api("bob").get(f"{API}/campaigns")
    with django_assert_num_queries(3) as few:
        api("bob").get(f"{API}/campaigns")
    campaigns.create(by=world.by("alice"), adapters=[made.adapter])
    with django_assert_num_queries(len(few)):
        assert len(api("bob").get(f"{API}/campaigns").json()["results"]) == 2


def test_what_is_waived_is_told_from_what_is_stale(api, world, made):
    def names(query):
        return [row["name"] for row in api("bob").get(f"{API}/adapters?{query}").json()["results"]]

    assert (names("waived=false"), names("waived=true")) == (["triage"], [])
    waivers.waive(by=world.by("alice"), version=made, reason="it ends", until=LATER)
    assert (names("stale=true&waived=false"), names("waived=true"), names("stale=true")) == (
        [],
        ["triage"],
        ["triage"],
    )
