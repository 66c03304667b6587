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
    assert "/audit?client=health/clinic" in pages("alice").get("/clients/health/clinic").content.decode()
    page = pages("alice").get("/audit?client=health/clinic").content.decode()
    assert "slot:health/clinic/night" in page
    assert "alias.create" not in page
