"""Every list: filters in the URL, chips, saved views, a table of the same filter, and what is done to many."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from registry.access import SYSTEM
from registry.choices import Listing
from registry.models import AdapterVersion, Campaign, SavedView
from registry.services import aliases, clients, saved_views
from tests.make import make_adapter, make_base_version, make_version
from tests.world import World

Pages = Callable[[str | None], Browser]
LISTS = [name for name in Listing.values if name not in ("users", "holds")]
SAVED = {"listing": "adapters", "name": "late ones", "query": "q=tri&stale=1"}


@pytest.fixture
def made(world: World, store: object) -> AdapterVersion:
    """Production of triage on base 1, where base 2 is current; beside it, coding is fresh."""
    old = make_version(world.health)
    aliases.move(by=world.by("alice"), adapter=old.adapter, name="production", version=old, reason="first")
    make_base_version("llama", change="weights")
    make_adapter(world.health, "coding")
    return old


def said(pages: Pages, path: str, who: str = "alice") -> str:
    answer = pages(who).get(path)
    assert answer.status_code == 200, answer
    return html.unescape(answer.content.decode())


def table(pages: Pages, page: str, who: str = "alice") -> list[dict[str, str]]:
    """What the page's own CSV link gives."""
    found = re.search(r'href="(/api/v1/[^"]*format=csv[^"]*)"', page)
    assert found, page
    answer = pages(who).get(found[1])
    assert answer.status_code == 200, found[1]
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


@pytest.mark.parametrize("name", Listing.values)
def test_every_list_has_its_table_views_and_filters(pages: Pages, world: World, name: str) -> None:
    page = said(pages, f"/{name}", "admin")
    assert re.search(r"Views</summary>", page)
    assert "/views/save" not in page  # there is no filter yet
    assert name == "bulk-moves" or re.search(r'<form class="inline-form filters" method="get">.*? name="', page)
    assert isinstance(table(pages, page, "admin"), list)
    assert "Applied filters" not in page


@pytest.mark.parametrize("name", Listing.values)
def test_what_no_filter_knows_is_let_be(pages: Pages, world: World, name: str) -> None:
    page = said(pages, f"/{name}?utm_source=x&verticl=y&page=zzz&label=no-pair", "admin")
    assert "Applied filters" not in page


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/adapters?stale=1", ["triage"]),
        ("/adapters?q=cod", ["coding"]),
        ("/adapters?status=ready&base_model=llama", ["triage"]),
        ("/adapters?vertical=nothing", []),
        ("/adapters?q=cod&stale=1", []),
        ("/adapters?q=cod&stale=false", ["coding"]),
    ],
)
def test_the_page_and_its_table_are_of_one_filter(
    pages: Pages, made: AdapterVersion, path: str, names: list[str]
) -> None:
    page = said(pages, path)
    shown = [name for name in ("triage", "coding") if f"<strong>{name}</strong>" in page]
    assert shown == names == [row["name"] for row in table(pages, page)]


@pytest.mark.parametrize(("path", "numbers"), [("/versions?stale=1", ["1"]), ("/versions?status=rejected", [])])
def test_versions_of_all_adapters_are_one_list(
    pages: Pages, made: AdapterVersion, path: str, numbers: list[str]
) -> None:
    make_version(made.adapter.team, "coding", base=make_base_version("other"))
    page = said(pages, path)
    assert [row["number"] for row in table(pages, page)] == numbers
    assert page.count("triage v1") == len(numbers)
    assert "coding v" not in page
    assert "triage v1" not in said(pages, "/versions", "charlie")


def test_a_chip_takes_its_filter_away_and_leaves_the_others(pages: Pages, made: AdapterVersion) -> None:
    page = said(pages, "/adapters?q=tri&stale=1&page=1")
    chips = re.findall(r'<a class="chip" aria-current="true" href="([^"]+)">', page)
    assert chips == ["?stale=1", "?q=tri"]
    assert 'name="stale" value="1" checked' in page
    assert 'href="?all=1">Clear filters' in page


def test_a_value_that_is_none_matches_nothing_and_is_shown(pages: Pages, world: World) -> None:
    page = said(pages, "/jobs?state=zzz")
    assert "Nothing matches." in page
    assert "<option selected>zzz</option>" in page


def test_a_view_is_saved_shown_and_deleted(pages: Pages, made: AdapterVersion) -> None:
    answer = pages("alice").post("/views/save", SAVED)
    assert answer["Location"] == "/adapters?q=tri&stale=1"
    assert '<a href="?q=tri&stale=1" aria-current="true">late ones</a>' in said(pages, answer["Location"])
    assert "late ones" not in said(pages, "/adapters", "bob")
    pages("alice").post(f"/views/{SavedView.objects.get().pk}/delete")
    assert not SavedView.objects.exists()


def test_a_shared_view_is_the_teams_and_nobody_elses(pages: Pages, made: AdapterVersion) -> None:
    pages("alice").post("/views/save", {**SAVED, "team": "health"})
    assert "late ones" in said(pages, "/adapters", "bob")
    assert "late ones" not in said(pages, "/jobs", "bob")
    assert "late ones" not in said(pages, "/adapters", "charlie")
    pages("charlie").post(f"/views/{SavedView.objects.get().pk}/delete")
    pages("bob").post(f"/views/{SavedView.objects.get().pk}/delete")
    assert SavedView.objects.exists()


def test_a_list_begins_with_ones_default_view_unless_all_is_asked(pages: Pages, made: AdapterVersion) -> None:
    pages("alice").post("/views/save", {**SAVED, "default": "1"})
    assert pages("alice").get("/adapters")["Location"] == "?q=tri&stale=1"
    assert "coding" in said(pages, "/adapters?all=1")
    assert pages("bob").get("/adapters").status_code == 200
    pages("alice").post(f"/views/{SavedView.objects.get().pk}/default", {"default": "0"})
    assert pages("alice").get("/adapters").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "give the view a name"),
        ({"query": ""}, "filter the list first"),
        ({"listing": "nothing"}, "no list that has views"),
        ({"team": "finance"}, "No such team"),
        ({"name": "late ones"}, "delete it first"),
    ],
)
def test_what_a_view_lacks_is_said(pages: Pages, world: World, wrong: dict[str, str], words: str) -> None:
    saved_views.save(by=world.by("alice"), listing="adapters", name="late ones", query="q=x")
    answer = pages("alice").post("/views/save", {**SAVED, "name": "other", **wrong}, follow=True)
    assert words in answer.content.decode()
    assert SavedView.objects.count() == 1


def test_a_bar_is_offered_to_those_who_may_publish(pages: Pages, made: AdapterVersion) -> None:
    assert 'value="health/triage"' in said(pages, "/adapters")
    assert 'value="health/triage"' not in said(pages, "/adapters", "erin")


def test_all_that_match_are_offered_where_there_are_more_pages(pages: Pages, world: World) -> None:
    base = make_base_version()
    for number in range(51):
        make_adapter(world.health, f"a-{number:02}", base=base)
    assert "all 51 that match" in said(pages, "/adapters")
    page = pages("alice").post("/bulk/adapters/preview", {"matching": "1", "query": "q=a-"}).content.decode()
    assert "of 51 adapters" in page
    assert len(table(pages, said(pages, "/adapters?q=a-"))) == 51


def test_those_that_match_are_retrained(pages: Pages, made: AdapterVersion) -> None:
    answer = pages("alice").post("/bulk/adapters/retrain", {"matching": "1", "query": "stale=1"})
    campaign = Campaign.objects.get()
    assert answer["Location"] == f"/campaigns/{campaign.pk}"
    assert [item.adapter.name for item in campaign.items.all()] == ["triage"]


def test_the_chosen_are_archived_after_a_preview(pages: Pages, world: World, made: AdapterVersion) -> None:
    spare = make_version(world.health, base=made.base_version)
    page = said_of(pages("alice").post("/bulk/adapters/preview", {"adapters": ["health/triage"]}))
    assert "used by alias production" in page
    assert "Archive 1 version<" in page
    wish = {"adapters": ["health/triage"], "reason": "old"}
    assert "1 version archived." in said_of(pages("alice").post("/bulk/adapters/archive", wish, follow=True))
    spare.refresh_from_db()
    assert spare.status == "archived"


def test_what_came_after_the_preview_is_not_archived(pages: Pages, world: World, made: AdapterVersion) -> None:
    spare = make_version(world.health, base=made.base_version)
    page = said_of(pages("alice").post("/bulk/adapters/preview", {"adapters": ["health/triage"]}))
    shown = re.search(r'name="versions" value="([^"]*)"', page)
    later = make_version(world.health, base=made.base_version)
    wish = {"adapters": ["health/triage"], "versions": shown and shown[1], "reason": "old"}
    assert "1 version archived." in said_of(pages("alice").post("/bulk/adapters/archive", wish, follow=True))
    states = AdapterVersion.objects.in_bulk([spare.pk, later.pk])
    assert (states[spare.pk].status, states[later.pk].status) == ("archived", "ready")


def said_of(answer: Any) -> str:
    assert answer.status_code == 200, answer
    return html.unescape(answer.content.decode())


@pytest.mark.parametrize("who", ["erin", "charlie"])
def test_nobody_else_does_it(pages: Pages, made: AdapterVersion, who: str) -> None:
    for path in ("retrain", "archive"):
        pages(who).post(f"/bulk/adapters/{path}", {"adapters": ["health/triage"], "reason": "r"})
        pages(who).post(f"/bulk/adapters/{path}", {"matching": "1", "query": "", "reason": "r"})
    assert not Campaign.objects.exists()
    assert not AdapterVersion.objects.filter(status="archived").exists()


def test_nothing_chosen_is_said(pages: Pages, made: AdapterVersion) -> None:
    assert "Choose at least one adapter." in said_of(pages("alice").post("/bulk/adapters/retrain", follow=True))
    assert pages("alice").post("/bulk/adapters/preview").status_code == 422


def test_all_clients_that_match_are_moved(pages: Pages, made: AdapterVersion, world: World) -> None:
    for name in ("ward-1", "ward-2", "other"):
        clients.create(by=SYSTEM, team=world.health, name=name, vertical="")
    wish = {"matching": "1", "query": "q=ward", "adapter": "health/triage", "alias": "production", "reason": "r"}
    page = said_of(pages("alice").post("/bulk-moves/preview", wish))
    assert "Move 2 slots" in page
    assert 'name="clients" value="health/ward-2"' in page


@pytest.mark.parametrize("name", LISTS)
def test_a_page_costs_the_same_however_many_there_are(
    pages: Pages, world: World, made: AdapterVersion, name: str, django_assert_max_num_queries: Any
) -> None:
    path = f"/{name}?all=1"
    _more(world, made, range(2))
    said(pages, path)
    with django_assert_max_num_queries(60) as few:
        said(pages, path)
    _more(world, made, range(2, 7))
    with django_assert_max_num_queries(len(few)):
        said(pages, path)


def _more(world: World, made: AdapterVersion, numbers: range) -> None:
    for number in numbers:
        make_version(world.health, f"more-{number}", base=made.base_version)
        clients.create(by=SYSTEM, team=world.health, name=f"more-{number}", vertical="")
        view = {"listing": "adapters", "name": f"view {number}", "query": f"q={number}", "team": world.health}
        saved_views.save(by=world.by("erin"), **view)
