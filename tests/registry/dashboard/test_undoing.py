"""The Undo button beside what an act said."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from registry.access import SYSTEM
from registry.models import Adapter, Alias, Assignment, AuditEvent
from registry.services import aliases, clients
from tests import make
from tests.world import World

Pages = Callable[[str | None], Browser]
PAGE, ALIAS = "/adapters/health/triage", "alias:health/triage@production"
OFFER = re.compile(r'action="(/undo)" data-undo>.*?name="event" value="(\d+)"', re.DOTALL)


@pytest.fixture
def adapter(world: World, store: object) -> Adapter:
    """Two ready versions, the first is production; and a client."""
    first = make.make_version(world.health)
    make.make_version(world.health)
    aliases.move(by=SYSTEM, adapter=first.adapter, name="production", version=first, reason="first")
    clients.create(by=SYSTEM, team=world.health, name="clinic", vertical="")
    return first.adapter


def _offered(browser: Browser, url: str, body: dict[str, str], back: str = PAGE) -> dict[str, str] | None:
    """What the button of the next page would send."""
    page = browser.post(url, body, follow=True, HTTP_REFERER=f"http://testserver{back}").content.decode()
    found = OFFER.search(page)
    return {"event": found[2]} if found else None


def _promote(browser: Browser, version: int) -> dict[str, str] | None:
    return _offered(browser, f"{PAGE}/promote", {"version": str(version), "alias": "production", "reason": "try"})


def test_it_offers_to_move_an_alias_back_and_does(pages: Pages, adapter: Adapter) -> None:
    browser = pages("alice")
    offer = _promote(browser, 2)
    assert offer
    page = browser.post("/undo", offer, follow=True, HTTP_REFERER=f"http://testserver{PAGE}").content.decode()
    assert "Undone: health/triage@production is as it was before." in page
    assert Alias.objects.get(name="production").version.number == 1
    assert AuditEvent.objects.filter(object=ALIAS).latest("pk").reason == "undone"


def test_it_offers_it_on_one_page(pages: Pages, adapter: Adapter) -> None:
    browser = pages("alice")
    assert _promote(browser, 2)
    assert not OFFER.search(browser.get(PAGE).content.decode())


def test_an_undo_is_no_act_to_undo(pages: Pages, adapter: Adapter) -> None:
    browser = pages("alice")
    assert _offered(browser, "/undo", _promote(browser, 2) or {}) is None


def test_what_changed_nothing_offers_nothing(pages: Pages, adapter: Adapter) -> None:
    assert _promote(pages("alice"), 1) is None


def test_it_says_who_was_there_since(pages: Pages, adapter: Adapter) -> None:
    browser = pages("alice")
    offer = _promote(browser, 2)
    _promote(pages("admin"), 1)
    page = browser.post("/undo", offer, follow=True, HTTP_REFERER=f"http://testserver{PAGE}").content.decode()
    assert "was changed since by admin@example.org (alias move), so nothing is undone" in page
    assert AuditEvent.objects.filter(object=ALIAS, reason="undone").count() == 0


def test_it_is_of_no_use_to_others(pages: Pages, adapter: Adapter) -> None:
    offer = _promote(pages("alice"), 2)
    for who in ("bob", "charlie", "admin"):
        pages(who).post("/undo", offer)
    assert Alias.objects.get(name="production").version.number == 2


@pytest.mark.parametrize("event", ["", "x", "-1", "9" * 40, "\u0663", "123456"])
def test_what_names_no_act_is_said(pages: Pages, adapter: Adapter, event: str) -> None:
    answer = pages("alice").post("/undo", {"event": event}, follow=True, HTTP_REFERER=f"http://testserver{PAGE}")
    assert "notice error" in answer.content.decode()


@pytest.mark.parametrize("path", ["assign", "rollback"])
def test_it_gives_a_slot_back(pages: Pages, adapter: Adapter, path: str) -> None:
    browser, back = pages("alice"), "/clients/health/clinic"
    wish: dict[str, Any] = {"adapter": "triage", "slot": "default", "reason": "r"}
    assert _offered(browser, f"{back}/assign", {**wish, "alias": "production"}, back)
    aliases.move(by=SYSTEM, adapter=adapter, name="second", version=adapter.versions.get(number=2), reason="r")
    offer = _offered(browser, f"{back}/assign", {**wish, "alias": "second"}, back)
    follows = ["second", "production"]
    if path == "rollback":
        offer, follows = _offered(browser, f"{back}/rollback", {"slot": "default"}, back), ["production", "second"]
    browser.post("/undo", offer)
    rows = Assignment.objects.order_by("-pk").select_related("alias")[:2]
    assert [row.alias.name for row in reversed(rows) if row.alias] == follows
    assert rows[0].reason == "undone"
