"""Sources are made, filled and ended on their pages: faults beside fields, checks followed live, no second one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, looks_finished

pytestmark = pytest.mark.browser
ROWS = {"name": "rows.jsonl", "mimeType": "application/jsonl", "buffer": b'{"text": "a"}\n'}


def make_dataset(page: Any, name: str) -> None:
    page.goto("/datasets")
    page.get_by_role("link", name="New dataset").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Vertical").fill("retail")
    page.get_by_role("button", name="Create").dblclick()
    page.wait_for_url(re.compile(f"/datasets/atelier/{name}$"))


def test_a_file_is_uploaded_once_and_its_check_followed_to_the_end(page: Any, site: Site) -> None:
    make_dataset(page, "from-the-page")
    looks_finished(page)
    page.get_by_label("Rows", exact=True).set_input_files(ROWS)
    page.get_by_role("button", name="Upload").dblclick()
    page.wait_for_url(re.compile(r"version=1$"))
    expect(page.get_by_role("region", name="Progress").get_by_text("queued").first).to_be_visible()
    assert page.get_by_role("region", name="Versions table").locator("tbody tr").count() == 1
    looks_finished(page)
    site.tell(
        "from registry.models import DatasetVersion as V, Job; row = V.objects.get(dataset__name='from-the-page');"
        "V.objects.filter(pk=row.pk).update(status='rejected', status_reason='row 1 is odd');"
        "Job.objects.filter(pk=row.job_id).update(state='failed')"
    )
    expect(page.get_by_text("row 1 is odd")).to_be_visible(timeout=15_000)
    assert page.locator("#live").count() == 0


def test_bytes_are_not_destroyed_by_a_slip(alices: Any, site: Site) -> None:
    page = alices.new_page()  # a page that is refused is an error on the browser's console
    page.goto("/datasets/atelier/retail-notes?version=1")
    page.get_by_text("Withdraw for good").click()
    form = page.locator("form[action*=withdraw]")
    form.get_by_label("Reason").fill("consent")
    form.get_by_label("name, typed").fill("retail")
    form.get_by_role("button").click()
    expect(form.locator(".fault")).to_have_text(re.compile("Type retail-notes"))
    expect(form.get_by_label("name, typed")).to_be_focused()
    expect(form.get_by_label("Reason")).to_have_value("consent")
    looks_finished(page)
    page.close()


def test_a_source_that_may_not_be_read_is_refused_at_its_field(alices: Any, site: Site) -> None:
    page = alices.new_page()
    page.goto("/base-models/llama-3-8b")
    page.get_by_label("Source").fill("/etc")
    page.get_by_label("Note").fill("kept")
    page.get_by_role("button", name="Register").click()
    expect(page.locator(".fault")).to_have_text(re.compile("/etc is not below"))
    expect(page.get_by_label("Source")).to_be_focused()
    expect(page.get_by_label("Note")).to_have_value("kept")
    looks_finished(page)
    page.close()


def test_a_file_that_is_too_large_is_told_before_it_is_sent(page: Any, site: Site) -> None:
    page.goto("/adapters/import")
    files = page.get_by_label("PEFT folder")
    files.evaluate("(input) => { input.dataset.most = 3; }")
    files.set_input_files(ROWS)
    assert "At most 3 bytes" in files.evaluate("(input) => input.validationMessage")
