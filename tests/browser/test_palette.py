"""The command palette and the keys: opened, searched and left by the keyboard; and the page without JavaScript."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, looks_finished

pytestmark = pytest.mark.browser


def options(page: Any, name: str = "") -> Any:
    """Those of the palette: lists to choose from have options too."""
    return page.locator("#palette").get_by_role("option", name=name)


def opened(page: Any) -> Any:
    """The box of the palette, with what it shows at first."""
    page.keyboard.press("Control+k")
    expect(options(page, "Overview")).to_be_visible()
    return page.get_by_role("combobox", name="Find anything")


def test_ctrl_k_finds_a_version_and_enter_goes_there(page: Any, site: Site) -> None:
    page.goto("/serving")
    box = opened(page)
    expect(box).to_be_focused()
    box.press_sequentially("contract-clauses@2")
    expect(options(page, "atelier/contract-clauses@2")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/adapters/atelier/contract-clauses/2")


def test_arrows_choose_around_and_escape_leaves(page: Any, site: Site) -> None:
    page.goto("/clients")
    box = opened(page)
    found = options(page)
    expect(found.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    expect(found.last).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == found.last.get_attribute("id")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(found.nth(1)).to_have_attribute("aria-selected", "true")
    assert page.locator("[aria-selected=true]").count() == 1
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).not_to_be_visible()


def test_enter_before_the_answer_goes_to_what_was_typed(page: Any, site: Site) -> None:
    page.goto("/clients")
    opened(page).fill("kyc-summaries")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/adapters/atelier/kyc-summaries")


def test_a_letter_taken_back_leaves_what_was_shown(page: Any, site: Site) -> None:
    page.goto("/clients")
    opened(page)
    page.keyboard.press("x")
    page.keyboard.press("Backspace")
    expect(options(page).first).to_have_attribute("aria-selected", "true")
    expect(options(page, "Overview")).to_be_visible()


def test_it_closes_where_it_leads_to_the_page_itself(page: Any, site: Site) -> None:
    page.goto("/audit")
    opened(page).fill("who had what")
    expect(options(page, "Who had what on a date")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/audit#then")
    expect(page.locator("#palette")).not_to_be_visible()


def test_what_is_not_there_is_said_aloud(page: Any, site: Site) -> None:
    page.goto("/clients")
    box = opened(page)
    box.fill("no-such-thing")
    expect(page.get_by_text("Nothing is called no-such-thing")).to_be_visible()
    expect(page.locator("#said")).to_have_text("Nothing found")
    expect(box).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    assert page.url == f"{site.url}/clients"


def test_the_focus_stays_in_the_dialog(page: Any, site: Site) -> None:
    page.goto("/clients")
    opened(page)
    inside = "!document.activeElement.matches('body') && !document.activeElement.closest('#palette')"
    for _ in range(6):
        page.keyboard.press("Tab")
        assert not page.evaluate(inside)


@pytest.mark.parametrize("typed", ["", "notes", "zebra"])
def test_it_is_accessible_and_fits_a_phone(page: Any, site: Site, typed: str) -> None:
    page.goto("/clients")
    page.get_by_role("button", name="Find anything").click()
    expect(options(page, "Overview")).to_be_visible()
    page.get_by_role("combobox", name="Find anything").fill(typed)
    if typed:
        expect(options(page, "Overview")).to_have_count(0)
    looks_finished(page)
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator("#palette").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.set_viewport_size({"width": 1280, "height": 720})


def test_a_click_beside_it_closes_it(page: Any, site: Site) -> None:
    page.goto("/clients")
    opened(page)
    page.mouse.click(5, 5)
    expect(page.locator("#palette")).not_to_be_visible()


def test_a_question_mark_shows_the_keys(page: Any, site: Site) -> None:
    page.goto("/serving")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    looks_finished(page)
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Find anything")).to_be_focused()
    expect(page.locator("#keys")).not_to_be_visible()


def test_a_slash_goes_to_the_filter_or_to_the_search(page: Any, site: Site) -> None:
    page.goto("/audit")
    page.keyboard.press("/")
    expect(page.locator("[data-filter]").first).to_be_focused()
    page.keyboard.type("/?")
    assert page.locator("dialog[open]").count() == 0
    page.goto("/serving")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Find anything")).to_be_focused()


def test_without_javascript_the_search_is_a_page(browser: Any, site: Site, signed_in: Any) -> None:
    context = browser.new_context(base_url=site.url, storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto("/serving")
    page.get_by_role("searchbox", name="Find anything").fill("marlow")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/search\?q=marlow"))
    page.get_by_role("link", name="atelier/marlow-stores").click()
    page.wait_for_url(f"{site.url}/clients/atelier/marlow-stores")
    context.close()
