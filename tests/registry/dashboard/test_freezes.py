"""A freeze shows on every page of the team, and is begun and lifted on its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser

from registry.models import Freeze
from tests.world import World

Pages = Callable[[str | None], Browser]
WISH = {"team": "health", "until": "2100-01-01", "reason": "audit week"}


@pytest.fixture
def frozen(pages: Pages) -> Freeze:
    pages("alice").post("/freezes/begin", WISH)
    return Freeze.objects.get()


@pytest.mark.parametrize("path", ["/", "/clients", "/adapters", "/audit", "/freezes"])
def test_it_stands_on_every_page_of_the_team(pages: Pages, frozen: Freeze, path: str) -> None:
    assert "Team health is frozen" in pages("bob").get(path).content.decode()
    assert "is frozen" not in pages("charlie").get(path).content.decode()


def test_it_is_lifted_from_the_banner(pages: Pages, frozen: Freeze) -> None:
    assert f"/freezes/{frozen.pk}/lift" in pages("alice").get("/").content.decode()
    pages("alice").post(f"/freezes/{frozen.pk}/lift")
    assert "is frozen" not in pages("alice").get("/").content.decode()


def test_a_viewer_sees_no_form(pages: Pages, frozen: Freeze) -> None:
    page = pages("bob").get("/freezes").content.decode()
    assert "/freezes/begin" not in page
    assert f"/freezes/{frozen.pk}/lift" not in page


def test_only_an_administrator_freezes_everything(pages: Pages, world: World) -> None:
    pages("alice").post("/freezes/begin", {**WISH, "team": ""})
    assert not Freeze.objects.exists()
    pages("admin").post("/freezes/begin", {**WISH, "team": ""})
    assert "The whole installation is frozen" in pages("charlie").get("/").content.decode()


def test_it_is_not_lifted_by_another_team(pages: Pages, frozen: Freeze) -> None:
    pages("charlie").post(f"/freezes/{frozen.pk}/lift")
    frozen.refresh_from_db()
    assert frozen.lifted_at is None


def test_it_takes_a_date_that_is_one(pages: Pages, world: World) -> None:
    answer = pages("alice").post("/freezes/begin", {**WISH, "until": "soon"}, follow=True)
    assert "is no date" in answer.content.decode()
    assert not Freeze.objects.exists()
