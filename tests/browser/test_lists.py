"""Lists in a browser: filters become a view, boxes and all that match are counted, holds are placed and lifted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, looks_finished

pytestmark = pytest.mark.browser


def test_a_filter_is_kept_as_a_view_with_which_the_list_begins(page: Any, site: Site) -> None:
    page.goto("/adapters")
    page.get_by_role("checkbox", name="Stale", exact=True).check()
    page.get_by_role("button", name="Filter").click()
    page.get_by_text("Views", exact=True).click()
    looks_finished(page)
    page.get_by_label("Save this filter as").fill("late ones")
    page.get_by_label("the list begins with it").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The view late ones is saved.")).to_be_visible()
    page.goto("/adapters")
    assert page.url.endswith("/adapters?stale=1")
    page.locator("details.menu > summary").click()
    looks_finished(page)
    page.get_by_role("button", name="Delete the view late ones").click()
    expect(page.get_by_text("The view late ones is deleted.")).to_be_visible()
    page.goto("/adapters")
    assert page.url.endswith("/adapters")


def test_a_chip_takes_its_filter_away(page: Any, site: Site) -> None:
    page.goto("/jobs?state=failed&kind=train")
    page.get_by_role("link", name="Without State").click()
    page.wait_for_url(re.compile(r"/jobs\?kind=train$"))


def test_the_chosen_are_counted_and_shown_before_they_are_archived(page: Any, site: Site) -> None:
    page.goto("/adapters")
    bar = page.get_by_role("group", name="What is done to the chosen")
    expect(bar.get_by_text("Choose adapters above")).to_be_visible()
    page.get_by_label("Choose every adapter on this page").check()
    expect(bar.get_by_text(re.compile(r"^\d+ chosen$"))).to_be_visible()
    bar.get_by_role("button", name="Archive unused versions").click()
    page.wait_for_url(re.compile("/bulk/adapters/preview"))
    looks_finished(page)
    expect(page.get_by_role("button", name=re.compile(r"^Archive \d+ version"))).to_be_visible()


def test_a_hold_is_placed_and_lifted(page: Any, site: Site) -> None:
    page.goto("/holds")
    page.get_by_label("Reason", exact=True).fill("case 7")
    page.get_by_role("button", name="Place").click()
    row = page.get_by_role("row", name="case 7")
    expect(row.get_by_text("held")).to_be_visible()
    looks_finished(page)
    page.goto("/audit")
    expect(page.get_by_role("region", name="Legal hold")).to_be_visible()
    page.goto("/holds?active=1")
    row.get_by_label("Reason for lifting").fill("settled")
    row.get_by_role("button", name="Lift").click()
    expect(page.get_by_text("The hold is lifted")).to_be_visible()
