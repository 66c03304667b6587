"""Clients chosen on their page, a preview, the move, and its undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from registry.models import Assignment, BulkMove, Client
from registry.services import aliases, clients
from tests import make
from tests.world import World

Pages = Callable[[str | None], Browser]
CHOSEN = {"clients": ["health/a", "health/b"], "adapter": "health/triage", "alias": "production", "reason": "new"}


@pytest.fixture
def cast(world: World, store: object) -> list[Client]:
    version, by = make.make_version(world.health), world.by("alice")
    aliases.move(by=by, adapter=version.adapter, name="production", version=version, reason="first")
    return [clients.create(by=by, team=world.health, name=name, vertical="") for name in ("a", "b")]


def moved(pages: Pages) -> Any:
    return pages("alice").post("/bulk-moves/make", CHOSEN, follow=True)


def test_it_offers_the_choice_to_those_who_may_assign(pages: Pages, cast: list[Client]) -> None:
    assert 'value="health/a"' in pages("alice").get("/clients").content.decode()
    assert 'value="health/a"' not in pages("bob").get("/clients").content.decode()


@pytest.mark.parametrize(
    ("wrong", "said"), [({"alias": "nope"}, "no alias"), ({"adapter": "finance/x"}, "No such adapter")]
)
def test_it_says_what_of_the_form_names_nothing(
    pages: Pages, cast: list[Client], wrong: dict[str, str], said: str
) -> None:
    answer = pages("alice").post("/bulk-moves/preview", {**CHOSEN, **wrong})
    assert answer.status_code == 404
    assert said in answer.content.decode()


def test_it_shows_what_would_move(pages: Pages, cast: list[Client]) -> None:
    page = pages("alice").post("/bulk-moves/preview", CHOSEN).content.decode()
    assert "Move 2 slots" in page
    assert "triage production (v1)" in page
    assert not BulkMove.objects.exists()


def test_it_moves_what_was_previewed(pages: Pages, cast: list[Client]) -> None:
    assert "2 moved." in moved(pages).content.decode()
    assert Assignment.objects.filter(valid_to__isnull=True).count() == 2


def test_it_undoes_all_of_it(pages: Pages, cast: list[Client]) -> None:
    moved(pages)
    made = BulkMove.objects.get()
    page = pages("alice").post(f"/bulk-moves/{made.pk}/undo", {"reason": "worse"}, follow=True).content.decode()
    assert f'undoes <a href="/bulk-moves/{made.pk}"' in page
    assert not Assignment.objects.filter(valid_to__isnull=True).exists()


def test_it_takes_everyone_back(pages: Pages, cast: list[Client]) -> None:
    moved(pages)
    wish = {"team": "health", "at": "2020-01-01T18:00", "reason": "as it was"}
    page = pages("alice").post("/bulk-moves/preview", wish).content.decode()
    assert "it had nothing then" in page
    assert "Nothing here would move." in page


@pytest.mark.parametrize("change", [{"clients": []}, {"at": "soon", "team": "health"}])
def test_it_says_what_the_form_lacks(pages: Pages, cast: list[Client], change: dict[str, Any]) -> None:
    assert pages("alice").post("/bulk-moves/preview", {**CHOSEN, **change}).status_code == 422


def test_it_shows_a_move_to_the_team_alone(pages: Pages, cast: list[Client]) -> None:
    moved(pages)
    path = f"/bulk-moves/{BulkMove.objects.get().pk}"
    assert "Undo all of it" not in pages("bob").get(path).content.decode()
    assert pages("charlie").get(path).status_code == 404
    assert pages("charlie").post("/bulk-moves/preview", CHOSEN).status_code == 404
    assert "Bulk move" not in pages("charlie").get("/bulk-moves").context["page"].object_list


def test_the_list_asks_as_much_for_twenty_as_for_two(
    pages: Pages, cast: list[Client], world: World, django_assert_max_num_queries: Any
) -> None:
    browser = pages("alice")
    for n in range(18):
        labels = {"tier": "gold"}
        clients.create(by=world.by("alice"), team=world.health, name=f"c{n}", vertical="", labels=labels)
    with django_assert_max_num_queries(QUERIES):
        assert len(browser.get("/clients").context["rows"]) == 20


QUERIES = 21
