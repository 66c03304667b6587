"""Words stand whole where there is room for them, and what is chosen is in sight on a phone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Site

pytestmark = pytest.mark.browser


def test_a_long_label_leaves_room_for_what_it_is_about(page: Any, site: Site) -> None:
    page.goto(f"/jobs/{site.seed['judged']}")
    facts = page.get_by_role("region", name="Result").locator("dl")
    least = facts.bounding_box()["width"] * 0.4
    assert all(fact.bounding_box()["width"] > least for fact in facts.locator("dd").all())


def test_a_box_of_a_filter_stands_beside_its_words(page: Any, site: Site) -> None:
    page.goto("/freezes")
    label = page.locator(".filters label", has_text="Holds now")
    assert label.locator("input").bounding_box()["width"] < 20
    assert label.bounding_box()["height"] < 40


def test_the_open_tab_is_in_sight_on_a_phone(page: Any, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/settings/atelier/health")
    box = page.locator(".tabs [aria-current=page]").bounding_box()
    assert box["x"] + box["width"] <= 390
