"""Legal holds are placed and lifted by an administrator on a page of their own, and seen by whom they concern."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser

from registry.access import SYSTEM
from registry.models import AuditEvent, LegalHold
from registry.services import holds
from tests.world import World

Pages = Callable[[str | None], Browser]
WISH = {"team": "finance", "reason": "case 7"}


@pytest.fixture
def held(world: World) -> LegalHold:
    return holds.place(by=SYSTEM, team=world.health, reason="case 9")


def page(browser: Browser) -> str:
    return browser.get("/holds").content.decode()


def test_an_administrator_places_one_on_any_team(pages: Pages, world: World) -> None:
    said = pages("admin").post("/holds/place", WISH, follow=True).content.decode()
    assert "Nothing of team finance is deleted" in said
    row = LegalHold.objects.get()
    assert (row.team, row.reason, row.actor) == (world.finance, "case 7", "admin@example.org")
    assert "case 7" in page(pages("charlie"))


def test_it_is_of_everything_where_no_team_is_named(pages: Pages) -> None:
    pages("admin").post("/holds/place", {**WISH, "team": ""})
    assert LegalHold.objects.get().team is None
    assert "the whole installation" in page(pages("charlie"))


def test_it_is_lifted_with_a_reason(pages: Pages, held: LegalHold) -> None:
    path = f"/holds/{held.pk}/lift"
    assert "say why" in pages("admin").post(path, {"reason": " "}, follow=True).content.decode()
    pages("admin").post(path, {"reason": "settled"})
    held.refresh_from_db()
    assert held.lifted_by == "admin@example.org"
    assert AuditEvent.objects.get(action="hold.lift").reason == "settled"
    assert "lifted" in page(pages("bob"))


def test_a_member_sees_it_and_no_form(pages: Pages, held: LegalHold) -> None:
    assert "case 9" in page(pages("alice"))
    assert "/holds/place" not in page(pages("alice"))
    pages("alice").post("/holds/place", WISH)
    pages("alice").post(f"/holds/{held.pk}/lift", {"reason": "r"})
    assert LegalHold.objects.open().count() == 1


def test_another_team_sees_nothing_of_it(pages: Pages, held: LegalHold) -> None:
    assert "case 9" not in page(pages("charlie"))
    pages("charlie").post(f"/holds/{held.pk}/lift", {"reason": "r"})
    assert LegalHold.objects.open().exists()


def test_only_an_administrator_has_it_among_the_rooms(pages: Pages, world: World) -> None:
    assert 'href="/holds"' in pages("admin").get("/").content.decode()
    assert 'href="/holds"' not in pages("alice").get("/").content.decode()
