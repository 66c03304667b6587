"""The audit page: typed dates, a bad one kept in its field, the time machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.utils import timezone

from registry.access import SYSTEM
from registry.dashboard.moments import moment_of
from registry.errors import Invalid
from registry.services import clients, holds
from registry.storage import StoreError
from registry.storage.local import LocalStore
from tests.world import World

Pages = Callable[[str | None], Client]


def test_it_reads_a_date_from_its_beginning_to_its_end() -> None:
    assert moment_of("2026-05-04", last=False) == datetime(2026, 5, 4, tzinfo=UTC)
    assert moment_of("2026-05-04") == datetime(2026, 5, 4, 23, 59, 59, 999_999, UTC)


def test_it_refuses_what_is_no_date() -> None:
    with pytest.raises(Invalid):
        moment_of("yesterday")


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_it_refuses_what_lies_beyond_the_calendar_in_utc(world: World, pages: Pages, text: str) -> None:
    said = pages("alice").get("/audit", {"from": text})
    assert said.status_code < 500
    assert "is no date" in said.content.decode()


def test_a_depth_of_thousands_of_digits_is_as_none(world: World, pages: Pages) -> None:
    assert pages("alice").get("/lineage", {"depth": "9" * 5000}).status_code == 200


def test_it_shows_the_events_of_the_day_that_from_names(world: World, pages: Pages) -> None:
    clients.create(by=world.by("alice"), team=world.health, name="clinic", vertical="")
    today = timezone.now().date().isoformat()
    for name in ("from", "to"):
        assert "client.create" in pages("alice").get(f"/audit?{name}={today}").content.decode()


def test_it_says_a_bad_date_beside_the_kept_filters(world: World, pages: Pages) -> None:
    answer = pages("alice").get("/audit?from=soon&actor=alice@example.org")
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "is no date" in page
    assert 'value="soon"' in page
    assert 'value="alice@example.org"' in page


def test_it_hands_its_filter_to_the_csv(world: World, pages: Pages) -> None:
    page = pages("alice").get("/audit?action=client.create&from=2026-01-01").content.decode()
    assert "format=csv&amp;action=client.create&amp;from=2026-01-01T00%3A00%3A00%2B00%3A00" in page
    assert pages("alice").get("/api/v1/audit?format=csv&action=client.create").status_code == 200


def test_it_says_calmly_that_there_was_nothing(world: World, pages: Pages) -> None:
    clients.create(by=world.by("alice"), team=world.health, name="clinic", vertical="")
    answer = pages("alice").get("/audit?who=health/clinic&slot=night&at=2020-01-01")
    assert answer.status_code == 200
    assert answer.context["lookup"].nothing == "health/clinic had nothing in slot night then."


def test_it_says_a_bad_lineage_node_on_the_page(world: World, pages: Pages) -> None:
    answer = pages("alice").get("/lineage?node=planet:mars")
    assert answer.status_code == 400
    assert 'value="planet:mars"' in answer.content.decode()


def test_it_shows_nothing_of_another_team(world: World, pages: Pages) -> None:
    clients.create(by=world.by("alice"), team=world.health, name="clinic", vertical="")
    assert "health/clinic" not in pages("charlie").get("/audit").content.decode()
    assert pages("charlie").get("/audit?who=health/clinic").context["lookup"].problem


def test_it_offers_a_signed_export_of_the_days_shown(world: World, pages: Pages) -> None:
    text = pages("alice").get("/audit?from=2026-05-04&actor=alice@example.org").content.decode()
    assert "/api/v1/audit/export?from=2026-05-04T00%3A00%3A00%2B00%3A00" in text
    assert 'href="/api/v1/audit/export"' in pages("alice").get("/audit").content.decode()


def test_a_session_may_take_the_export(world: World, pages: Pages) -> None:
    answer = pages("alice").get("/api/v1/audit/export")
    assert b"alice@example.org" in answer.getvalue()


def test_it_says_that_the_store_is_away(world: World, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreError("no route")

    monkeypatch.setattr(LocalStore, "entries", away)
    answer = pages("alice").post("/audit/verify", follow=True)
    assert "the store is away" in answer.content.decode()


def test_what_is_sought_in_the_events_is_not_put_into_the_search_for_adapters(world: World, pages: Pages) -> None:
    page = pages("alice").get("/audit?q=zebra").content.decode()
    assert page.count('value="zebra"') == 1
    assert 'value="zebra"' in pages("alice").get("/adapters?q=zebra").content.decode()


def test_an_address_breaks_after_its_marks(world: World, pages: Pages) -> None:
    clients.create(by=world.by("alice"), team=world.health, name="a-b", vertical="")
    assert "client:<wbr>health/<wbr>a-b</a>" in pages("alice").get("/audit").content.decode()


def test_the_page_of_the_audit_says_what_is_held(pages: Pages, world: World) -> None:
    holds.place(by=SYSTEM, team=world.health, reason="case 7")
    holds.place(by=SYSTEM, team=None, reason="case 8")
    text = pages("alice").get("/audit").content.decode()
    assert "Team health" in text
    assert "The whole installation" in text
    assert "case 7" not in pages("charlie").get("/audit").content.decode()
