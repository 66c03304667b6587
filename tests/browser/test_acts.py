"""What people do on the pages of versions: why one is stale, and the way back from what they did."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, looks_finished

pytestmark = pytest.mark.browser
WHY = re.compile(r"stale.*why\?", re.DOTALL)


def _promote(page: Any, name: str) -> Any:
    """Makes an alias; the button that takes it back."""
    page.goto("/adapters/atelier/discharge-notes")
    page.get_by_role("textbox", name="Alias").fill(name)
    page.get_by_label("to version").select_option("1")
    page.locator("#reason").fill("to look at")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text(f"{name} points to version 1.")).to_be_visible()
    return page.get_by_role("button", name="Undo")


def test_a_stale_badge_opens_why_in_place(page: Any) -> None:
    page.goto("/adapters")
    page.get_by_role("button", name=WHY).first.click()
    answer = page.get_by_role("dialog", name="stale?")
    expect(answer.get_by_text("its weights changed")).to_be_visible()
    expect(answer.get_by_role("button", name="Retrain")).to_be_visible()
    looks_finished(page)
    page.keyboard.press("Escape")
    expect(answer).to_be_hidden()


def test_an_act_is_undone(page: Any, site: Site) -> None:
    _promote(page, "undone").click()
    expect(page.get_by_text("Undone: atelier/discharge-notes@undone is as it was before.")).to_be_visible()
    assert page.get_by_role("button", name="Undo").count() == 0
    looks_finished(page)


def test_the_way_back_is_offered_for_ten_seconds(page: Any) -> None:
    page.clock.install()
    undo = _promote(page, "kept")
    page.mouse.move(0, 0)
    page.clock.fast_forward(8_000)
    expect(undo).to_be_visible()
    looks_finished(page)
    page.clock.fast_forward(3_000)
    expect(undo).to_be_hidden()
    expect(page.get_by_text("kept points to version 1.")).to_be_visible()


def test_it_stays_while_somebody_has_reached_it_by_the_keyboard(page: Any) -> None:
    page.clock.install()
    undo = _promote(page, "reached")
    undo.focus()
    page.clock.fast_forward(30_000)
    expect(undo).to_be_visible()
    undo.blur()
    page.mouse.move(0, 0)
    page.clock.fast_forward(2_000)
    expect(undo).to_be_hidden()


def test_both_work_without_scripts(browser: Any, site: Site, signed_in: Any) -> None:
    context = browser.new_context(base_url=site.url, storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    _promote(page, "scriptless").click()
    expect(page.get_by_text("Undone: atelier/discharge-notes@scriptless")).to_be_visible()
    page.goto("/clients")
    page.get_by_role("button", name=WHY).first.click()
    answer = page.get_by_role("dialog", name="stale?")
    answer.get_by_label("Why it may stay stale").fill("its contract ends")
    answer.get_by_label("Until").fill("2099-01-01")
    answer.get_by_role("button", name="Waive").click()
    expect(page.get_by_text("may stay stale until 2099-01-01")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("is as it was before")).to_be_visible()
    context.close()


def test_a_version_is_quarantined_and_brought_back(page: Any) -> None:
    page.goto("/adapters/atelier/defect-reports/1")
    acts = page.get_by_role("region", name="What is done with it")
    acts.get_by_text("Withdraw it for good").click()
    acts.get_by_text("Edit its labels").click()
    looks_finished(page)
    acts.locator("#act-reason").fill("it leaks names")
    acts.get_by_role("button", name="Quarantine").click()
    expect(page.get_by_text("is quarantined: it is served to nobody.")).to_be_visible()
    looks_finished(page)
    page.get_by_role("button", name="Undo").click()
    expect(acts.get_by_role("button", name="Archive")).to_be_enabled()


def test_the_pull_command_is_copied(page: Any) -> None:
    page.goto("/adapters/atelier/defect-reports/2")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy pull command").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "plethora adapter pull atelier/defect-reports@2"


def test_an_alias_is_rolled_back(page: Any) -> None:
    page.goto("/adapters/atelier/discharge-notes")
    for version in ("1", "2"):
        page.get_by_role("textbox", name="Alias").fill("fallback")
        page.get_by_label("to version").select_option(version)
        page.locator("#reason").fill("to look at")
        page.get_by_role("button", name="Promote").click()
        expect(page.get_by_text(f"fallback points to version {version}.")).to_be_visible()
    page.get_by_label("Why fallback goes back").fill("it rambles")
    page.get_by_role("button", name="From v2 to v1").click()
    expect(page.get_by_text("fallback goes back to version 1.")).to_be_visible()
    looks_finished(page)
