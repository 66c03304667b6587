"""Clients slot by slot, and acts on the slot that was chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser

from registry.models import Client
from registry.services import aliases, clients
from tests import make
from tests.world import World

Pages = Callable[[str | None], Browser]


@pytest.fixture
def clinic(world: World) -> Client:
    version = make.make_version(world.health)
    aliases.move(by=world.by("alice"), adapter=version.adapter, name="production", version=version, reason="first")
    return clients.create(by=world.by("alice"), team=world.health, name="clinic", vertical="healthcare")


def _assign(pages: Pages, slot: str) -> None:
    wish = {"adapter": "triage", "alias": "production", "slot": slot, "reason": "wanted"}
    pages("alice").post("/clients/health/clinic/assign", wish)


def test_it_is_unassigned_at_first(pages: Pages, clinic: Client) -> None:
    assert "unassigned" in pages("alice").get("/clients").content.decode()


def test_it_names_the_slots_where_there_are_two(pages: Pages, clinic: Client) -> None:
    _assign(pages, "default")
    _assign(pages, "night")
    (row,) = pages("alice").get("/clients").context["rows"]
    assert [slot.name for slot in row.slots] == ["default", "night"]
    assert '<span class="chip">night</span>' in pages("alice").get("/clients").content.decode()


def test_it_hides_assigning_from_a_viewer(pages: Pages, clinic: Client) -> None:
    assert ">Assign<" in pages("alice").get("/clients/health/clinic").content.decode()
    assert ">Assign<" not in pages("bob").get("/clients/health/clinic").content.decode()


def test_it_says_what_is_assigned_in_the_future(pages: Pages, clinic: Client) -> None:
    _assign(pages, "default")
    page = pages("alice").get("/clients/health/clinic?at=2100-01-01").content.decode()
    assert "is assigned, unless that is changed" in page


def test_it_is_missing_for_another_team(pages: Pages, clinic: Client) -> None:
    assert pages("charlie").get("/clients/health/clinic").status_code == 404


def test_it_leads_to_what_happened_to_it(pages: Pages, clinic: Client) -> None:
    _assign(pages, "night")
    assert "/clients/health/clinic/activity" in pages("alice").get("/clients/health/clinic").content.decode()
    page = pages("alice").get("/audit?client=health/clinic").content.decode()
    assert "slot:health/clinic/night" in page
    assert "alias:health/triage@production" in page  # it follows that one


def test_it_shows_each_version_behind_an_alias_once(world: World, pages: Pages, clinic: Client) -> None:
    _assign(pages, "default")
    second = make.make_version(world.health)
    aliases.move(
        by=world.by("alice"), adapter=second.adapter, name="production", version=second, reason="", force=True
    )
    rows = pages("bob").get("/clients/health/clinic").context["timeline"]
    assert [row.number for row in rows] == [2, 1]


def test_it_shows_a_new_key_once(pages: Pages, clinic: Client) -> None:
    made = pages("alice").post("/clients/health/clinic/keys", {"name": "web shop"})
    assert made["Cache-Control"] == "no-store"
    assert made.context["text"] in made.content.decode()
    later = pages("alice").get("/clients/health/clinic").content.decode()
    assert made.context["text"] not in later
    assert "web shop" in later


def test_it_revokes_a_key(pages: Pages, clinic: Client) -> None:
    made = pages("alice").post("/clients/health/clinic/keys", {"name": "web shop"}).context["minted"]
    pages("alice").post(f"/clients/health/clinic/keys/{made.pk}/revoke")
    assert "web shop" not in pages("alice").get("/clients/health/clinic").content.decode()


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
def test_it_makes_no_key_for_who_may_not_assign(pages: Pages, clinic: Client, who: str, status: int) -> None:
    assert pages(who).post("/clients/health/clinic/keys", {"name": "mine"}).status_code == status
    assert not clinic.keys.exists()


def test_it_says_why_it_makes_no_key(pages: Pages, clinic: Client) -> None:
    refused = pages("alice").post("/clients/health/clinic/keys", {"name": "late", "expires": "soon"})
    assert refused.status_code == 422
    assert "is no date" in refused.content.decode()


def test_it_is_described_on_its_page(pages: Pages, clinic: Client) -> None:
    wish = {"description": "By the sea", "contacts": "Ann Example <ann@example.org>", "labels": "tier:gold"}
    pages("alice").post("/clients/health/clinic/describe", wish)
    page = pages("bob").get("/clients/health/clinic").content.decode()
    assert [word in page for word in ("By the sea", "ann@example.org", "tier:gold")] == [True] * 3


@pytest.mark.parametrize("wish", [{"contacts": "nobody"}, {"contacts": "Ann <a@b>"}, {"labels": "gold"}])
def test_it_says_what_is_no_contact_or_label(pages: Pages, clinic: Client, wish: dict[str, str]) -> None:
    answer = pages("alice").post("/clients/health/clinic/describe", wish, follow=True)
    assert "write" in answer.content.decode()
    clinic.refresh_from_db()
    assert clinic.contacts == []


def test_it_is_found_by_its_label(pages: Pages, clinic: Client) -> None:
    pages("alice").post("/clients/health/clinic/describe", {"labels": "tier:gold"})
    assert len(pages("bob").get("/clients?label=tier:gold").context["rows"]) == 1
    assert len(pages("bob").get("/clients?label=tier:iron").context["rows"]) == 0


def test_it_is_assigned_between_two_dates(pages: Pages, clinic: Client) -> None:
    wish = {
        "adapter": "triage",
        "slot": "default",
        "reason": "trial",
        "starts_at": "2100-01-01",
        "ends_at": "2100-01-02",
    }
    answer = pages("alice").post("/clients/health/clinic/assign", wish, follow=True)
    assert "from 2100-01-01 00:00 UTC on" in answer.content.decode()
    answers = [
        pages("bob").get(f"/clients/health/clinic?at={at}").content.decode()
        for at in ("2100-01-02T12:00", "2100-01-03")
    ]
    assert ["is assigned, unless" in answer for answer in answers] == [True, False]


def test_its_timeline_is_had_signed(pages: Pages, clinic: Client) -> None:
    link = "/api/v1/audit/export?table=timeline&amp;client=health/clinic"
    assert link in pages("bob").get("/clients/health/clinic").content.decode()
    assert pages("bob").get(link.replace("&amp;", "&")).status_code == 200


def test_it_assigns_with_a_canary(world: World, pages: Pages, clinic: Client) -> None:
    make.make_version(world.health)
    wish = {"adapter": "triage", "reason": "try it", "canary_version": "2", "canary_percent": "5"}
    answer = pages("alice").post("/clients/health/clinic/assign", wish, follow=True)
    assert "5 % by its version 2" in answer.content.decode()
    page = pages("bob").get("/clients/health/clinic").content.decode()
    assert "5 % to v2" in page


@pytest.mark.parametrize(
    ("version", "percent", "said"),
    [
        ("2", "", "canary_percent: a canary takes"),
        ("", "5", "canary_version: a canary takes"),
        ("2", "0", "canary_percent: write a whole number from 1 to 99"),
        ("2", "100", "canary_percent: write a whole number from 1 to 99"),
        ("2", "5.5", "canary_percent: write a whole number from 1 to 99"),
        ("v2", "5", "canary_version: write a version"),
        ("7", "5", "No such adapter version: health/triage@7"),
    ],
)
def test_a_canary_that_makes_no_sense_is_named(
    pages: Pages, clinic: Client, version: str, percent: str, said: str
) -> None:
    wish = {"adapter": "triage", "reason": "r", "canary_version": version, "canary_percent": percent}
    page = pages("alice").post("/clients/health/clinic/assign", wish, follow=True).content.decode()
    assert said in page
    assert not clinic.slots.filter(assignments__isnull=False).exists()


@pytest.mark.parametrize("path", ["assign", "rollback"])
def test_a_slot_that_is_no_name_is_refused(pages: Pages, clinic: Client, path: str) -> None:
    wish = {"adapter": "triage", "slot": "Night!", "reason": "r"}
    page = pages("alice").post(f"/clients/health/clinic/{path}", wish, follow=True).content.decode()
    assert "is no name of one" in page
    assert [slot.name for slot in clinic.slots.all()] == ["default"]


NEW = {"team": "health", "name": "st-olaf", "vertical": "healthcare", "once": "c" * 32}


def test_a_client_is_made_on_a_page_once(world: World, pages: Pages) -> None:
    places = [pages("alice").post("/clients/new", NEW)["Location"] for _ in range(2)]
    assert places == ["/clients/health/st-olaf"] * 2
    assert Client.objects.get(name="st-olaf").vertical == "healthcare"
    assert "New client" in pages("alice").get("/clients").content.decode()


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": "St Olaf"}, "name"), ({"vertical": ""}, "vertical"), ({"team": "finance"}, "team")],
)
def test_what_is_wrong_with_a_new_client_is_told_at_its_field(
    world: World, pages: Pages, change: dict[str, str], field: str
) -> None:
    answer = pages("alice").post("/clients/new", {**NEW, **change})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])
    assert not Client.objects.filter(name="st-olaf").exists()


def test_who_assigns_nothing_makes_no_client(world: World, pages: Pages) -> None:
    assert pages("bob").post("/clients/new", NEW).status_code == 403
    assert "New client" not in pages("bob").get("/clients").content.decode()
