"""The search of everything: typed hits, addresses, commands, and only what the caller may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry.access import SYSTEM, Act
from registry.dashboard import palette
from registry.models import Job
from registry.services import aliases, clients, jobs
from tests.make import make_base_version, make_dataset_version, make_version
from tests.world import World

Pages = Callable[[str | None], Client]
ISLAND = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def stock(world: World) -> World:
    """Two versions of an adapter whose first is production, a dataset, a client, a job, a base."""
    base = make_base_version("llama")
    versions = [make_version(world.health, "triage", base=base) for _ in range(2)]
    aliases.move(
        by=world.by("alice"),
        adapter=versions[0].adapter,
        name="production",
        version=versions[0],
        reason="r",
    )
    make_dataset_version(world.health, "triage-notes")
    clients.create(by=world.by("alice"), team=world.health, name="triage-ward", vertical="")
    _job(world)
    return world


def _job(world: World) -> Job:
    with transaction.atomic():
        obj = "adapter:health/triage"
        return jobs.create(by=world.by("alice"), kind="evaluate", team=world.health, payload={}, obj=obj)


def found(pages: Pages, q: str, who: str = "bob") -> dict[str, list[str]]:
    answer = pages(who).get("/search", {"q": q})
    assert answer.status_code == 200
    groups: list[tuple[str, list[Any]]] = answer.context["groups"]
    return {title: [hit.label for hit in hits] for title, hits in groups}


def test_it_finds_every_kind_by_a_part_of_its_name(stock: World, pages: Pages) -> None:
    hits = found(pages, "triage")
    assert hits["Adapters"] == ["health/triage"]
    assert hits["Clients"] == ["health/triage-ward"]
    assert hits["Datasets"] == ["health/triage-notes"]
    assert hits["Jobs"] == [f"Job {Job.objects.get(kind='evaluate').pk}"]
    assert found(pages, "lla")["Base models"] == ["llama"]


@pytest.mark.parametrize(
    ("q", "versions"),
    [
        ("health/triage@2", ["health/triage@2"]),
        ("triage@production", ["health/triage@1"]),
        ("triage@", ["health/triage@2", "health/triage@1", "health/triage-notes@1"]),
        ("triage-notes@1", ["health/triage-notes@1"]),
        ("llama@1", ["llama@1"]),
    ],
)
def test_an_address_finds_its_version(stock: World, pages: Pages, q: str, versions: list[str]) -> None:
    assert found(pages, q)["Versions"] == versions


@pytest.mark.parametrize(
    "q", ["triage@9", "finance/triage@1", "triage@nothing", "no-such-thing@1", "%@", "\\@", "a/b/c@1"]
)
def test_a_version_that_is_not_there_is_not_found(stock: World, pages: Pages, q: str) -> None:
    assert "Versions" not in found(pages, q)


def test_the_very_name_comes_first(stock: World, pages: Pages) -> None:
    for name in ("a-triage", "triage-two"):
        make_version(stock.health, name)
    assert found(pages, "triage")["Adapters"] == ["health/triage", "health/triage-two", "health/a-triage"]


@pytest.mark.parametrize("q", ["{}", "job {}", "job:{}", "JOB {}"])
def test_a_number_finds_its_job(stock: World, pages: Pages, q: str) -> None:
    pk = Job.objects.get(kind="evaluate").pk
    assert found(pages, q.format(pk))["Jobs"] == [f"Job {pk}"]
    assert "Jobs" not in found(pages, q.format(pk), "charlie")


def test_words_of_a_job_narrow_together(stock: World, pages: Pages) -> None:
    assert found(pages, "queued evaluate triage")["Jobs"]
    assert "Jobs" not in found(pages, "failed triage")


def test_it_leads_to_pages_that_are_there(stock: World, pages: Pages) -> None:
    for q in ("triage", "triage@", "llama", "llama@", ""):
        for one in pages("alice").get("/search", {"q": q}).content.decode().split('class="hit"')[1:]:
            href = one.partition('href="')[2].partition('"')[0].partition("?")[0].partition("#")[0]
            assert pages("alice").get(href, follow=True).status_code == 200, href


def test_commands_lead_to_routes_that_are_there(stock: World, pages: Pages) -> None:
    assert found(pages, "audit")["Go to"] == ["Audit log"]
    assert "Failed jobs" in found(pages, "failed jobs")["Commands"]
    assert next(iter(found(pages, "jobs"))) == "Go to"
    for label, *_ in palette.COMMANDS:
        for title, hits in pages("admin").get("/search", {"q": label}).context["groups"]:
            assert title == "Commands"
            assert pages("admin").get(hits[0].url.partition("#")[0], follow=True).status_code == 200, label


def test_a_command_is_for_those_who_may_and_for_routes_that_are_there(
    stock: World, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = [("New thing", "box", route, "", Act.TRAIN) for route in ("jobs", "no-such-route")]
    monkeypatch.setattr(palette, "COMMANDS", acts)
    assert found(pages, "new thing", "erin") == {"Commands": ["New thing"]}
    assert found(pages, "new thing", "bob") == {}


def test_only_an_owner_is_led_to_tokens(stock: World, pages: Pages) -> None:
    assert found(pages, "tokens of health", "alice")["Commands"] == ["API tokens of health"]
    assert "Commands" not in found(pages, "tokens of health", "bob")
    assert "Commands" not in found(pages, "members of health", "charlie")


def test_only_an_administrator_is_led_to_accounts(stock: World, pages: Pages) -> None:
    assert found(pages, "accounts", "admin")["Go to"] == ["Accounts"]
    assert "Go to" not in found(pages, "accounts", "alice")


def test_it_finds_nothing_of_another_team(stock: World, pages: Pages) -> None:
    for q in ("triage", "triage@", "health", "triage@1", ""):
        said = pages("charlie").get("/search", {"q": q}).content.decode()
        assert "health/triage" not in said


def test_nothing_typed_shows_the_rooms_and_what_was_touched_last(stock: World, pages: Pages) -> None:
    clients.create(by=SYSTEM, team=stock.health, name="ours", vertical="")
    hits = found(pages, "", "alice")
    assert hits["Recent"][0] != "health/ours"  # her own first
    assert {"health/triage", "health/triage-ward", "health/ours"} <= set(hits["Recent"])
    assert hits["Go to"][:3] == ["Overview", "Adapters", "Lineage"]


def test_the_island_is_a_list_of_options_and_nothing_else(stock: World, pages: Pages) -> None:
    said = pages("bob").get("/search", {"q": "triage"}, **ISLAND).content.decode()
    assert said.startswith('<div id="found" role="listbox"')
    assert 'role="option" aria-selected="false" tabindex="-1"' in said
    assert "<html" not in said
    assert (
        "Nothing is called <strong>zebra" in pages("bob").get("/search", {"q": "zebra"}, **ISLAND).content.decode()
    )


def test_the_island_sends_a_stranger_to_the_sign_in(world: World, pages: Pages) -> None:
    answer = pages(None).get("/search", **ISLAND)
    assert answer["HX-Redirect"].startswith("/accounts/login/")


@pytest.mark.parametrize(
    "q", ["\x00", "a\x00b", "x" * 5000, "9" * 30, "job 999999999999999999", "@" * 9, "'\"<script>"]
)
def test_whatever_is_typed_is_no_error(stock: World, pages: Pages, q: str) -> None:
    answer = pages("bob").get("/search", {"q": q})
    assert answer.status_code == 200
    assert "<script>a" not in answer.content.decode()


@pytest.mark.parametrize("q", ["", "t", "triage@"])
def test_it_asks_as_much_for_many_things_as_for_few(stock: World, pages: Pages, q: str) -> None:
    asked = []
    person = pages("bob")
    for many in (False, True):
        for number in range(10 if many else 0):
            make_version(stock.health, f"triage-{number}")
            make_dataset_version(stock.health, f"triage-{number}")
            clients.create(by=stock.by("alice"), team=stock.health, name=f"triage-{number}", vertical="")
            _job(stock)
        with CaptureQueriesContext(connection) as queries:
            person.get("/search", {"q": q}, **ISLAND)
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 14
