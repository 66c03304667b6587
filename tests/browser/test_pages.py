"""Every page: axe in light and dark, no sideways scroll on a phone; and the acts that people do there."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, looks_finished, sign_in
from tests.config.waiting import eventually

pytestmark = pytest.mark.browser

PAGES = (
    "/", "/adapters", "/adapters?stale=1", "/adapters?q=nothing-like-it", "/adapters/{adapter}",
    "/adapters/{adapter}/3", "/adapters/{adapter}/compare?left=2&right=3&all=1",
    "/jobs", "/jobs/new", "/jobs/new?from={judged}", "/jobs/{running}", "/jobs/{failed}", "/jobs/{queued}",
    "/jobs/{checking}", "/jobs/{evaluating}", "/jobs/{judged}", "/lineage", "/lineage?only_stale=1",
    "/lineage?node=adapter:{adapter}@2&depth=2", "/clients", "/clients/atelier/marlow-stores?at=2100-01-01",
    "/playground", "/playground?version={adapter}@2&version={adapter}@3&base=llama-3-8b@1",
    "/adapters/atelier/contract-clauses", "/account", "/accounts/2fa/", "/accounts/password/change/",
    "/accounts/reauthenticate/", "/accounts/logout/",
    "/base-models", "/base-models/llama-3-8b", "/base-models/_new", "/datasets/new", "/clients/new",
    "/adapters/import", "/adapters/{adapter}/import", "/datasets", "/datasets/atelier/retail-notes",
    "/datasets/atelier/odd-rows", "/datasets/atelier/broken-rows",
    "/datasets/atelier/two-versions?version=2&against=1", "/campaigns", "/campaigns/{campaign}",
    "/settings/atelier", "/settings/atelier/tokens", "/settings/atelier/webhooks",
    "/settings/atelier/webhooks/{webhook}", "/settings/atelier/issuers", "/settings/atelier/health",
    "/users", "/storage", "/bulk-moves", "/freezes", "/holds", "/versions", "/versions?stale=1",
    "/adapters/{adapter}/3/clients",
    "/adapters/{adapter}/2/clients?from=2020-01-01&to=2100-01-01", "/base-models/llama-3-8b/1/clients",
    "/datasets/atelier/retail-notes/1/clients", "/serving", "/audit", "/audit?who=atelier/marlow-stores",
    "/search", "/search?q=notes", "/search?q=nothing-like-it", "/adapters/{adapter}/activity",
    "/adapters/{adapter}/3/activity", "/clients/atelier/marlow-stores/activity",
    "/datasets/atelier/retail-notes/activity", "/base-models/llama-3-8b/activity", "/jobs/{failed}/activity",
    "/campaigns/{campaign}/activity",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_it_is_accessible_and_fits_a_phone(path: str, page: Any, site: Site) -> None:
    answer = page.goto(path.format(**site.seed))
    assert answer.ok, f"{path}: {answer.status}"
    looks_finished(page)


def test_it_promotes_through_the_page(page: Any, site: Site) -> None:
    page.goto(f"/adapters/{site.seed['adapter']}")
    page.get_by_role("textbox", name="Alias").fill("candidate")
    page.get_by_label("to version").select_option("3")
    page.get_by_label("Reason").fill("better on the test split")
    page.get_by_role("button", name="Promote").click()
    assert page.get_by_text("candidate points to version 3.").is_visible()
    history = page.get_by_role("region", name="Alias history table")
    assert history.get_by_text("better on the test split").is_visible()


def test_it_says_why_an_activation_is_refused(page: Any, site: Site) -> None:
    page.goto("/base-models/llama-3-8b")
    page.get_by_role("region", name=re.compile("^Impact")).get_by_label("Reason").fill("try")
    site.tell(
        "from registry.models import BaseVersion as B; B.objects.filter(status='draft').update(status='retired')"
    )
    page.get_by_role("button", name="Activate").click()
    assert page.locator(".notice.error").is_visible()


def test_it_follows_a_job_to_its_end_without_a_reload(page: Any, site: Site) -> None:
    pk = site.seed["running"]
    page.goto(f"/jobs/{pk}")
    assert page.title().startswith("58 %")
    change = f"from registry.models import Job; rows = Job.objects.filter(pk={pk}); "
    site.tell(change + "rows.update(progress={'step': 960, 'steps': 1200, 'loss': 0.4, 'eta_seconds': 9})")
    expect(page).to_have_title(re.compile("^80 %"), timeout=15_000)
    site.tell(change + "rows.update(state='succeeded')")
    expect(page).to_have_title(re.compile("succeeded"), timeout=15_000)
    page.wait_for_load_state()
    assert page.locator("#live[hx-trigger]").count() == 0


def test_it_takes_the_window_to_the_sign_in_when_the_session_ends(browser: Any, site: Site) -> None:
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    sign_in(page, site)
    page.goto(f"/jobs/{site.seed['evaluating']}")
    context.clear_cookies()
    page.wait_for_url(re.compile(r"/accounts/login/\?next="), timeout=15_000)
    assert page.get_by_role("heading", name="Sign in").is_visible()
    context.close()


def test_it_plans_one_campaign_for_what_is_stale(page: Any, site: Site) -> None:
    page.goto("/lineage")
    page.get_by_role("button", name="Retrain all stale on llama-3-8b").click()
    page.wait_for_url(re.compile(r"/campaigns/\d+"))
    first = page.url
    page.goto("/campaigns")
    page.get_by_role("button", name="Plan a campaign").click()
    page.wait_for_url(first)
    assert page.get_by_text("was there already").is_visible()


def test_it_mints_a_token_that_works_until_it_is_revoked(page: Any, site: Site) -> None:
    page.goto("/settings")
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("Name").fill("from the page")
    page.get_by_label("serve").check()
    page.get_by_role("button", name="Mint").click()
    looks_finished(page)
    bearer = {"Authorization": f"Bearer {page.locator('#secret').inner_text()}"}
    me = httpx.get(f"{site.url}/api/v1/me", headers=bearer)
    assert (me.status_code, me.json()["scopes"]) == (200, ["read", "serve"])
    page.get_by_role("row", name="from the page").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The token is revoked")).to_be_visible()
    assert eventually(lambda: httpx.get(f"{site.url}/api/v1/me", headers=bearer).status_code == 401, 1.0)
    assert page.get_by_role("row", name="from the page").count() == 0


def test_it_sends_a_delivery_again(page: Any, site: Site) -> None:
    page.goto(f"/settings/atelier/webhooks/{site.seed['webhook']}?state=delivered")
    rows = page.get_by_role("region", name="Deliveries table").locator("tbody tr")
    before = rows.count()
    rows.first.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("1 delivery is sent again.")).to_be_visible()
    assert rows.count() == before - 1


def test_one_box_chooses_every_client_for_a_bulk_move(page: Any, site: Site) -> None:
    page.goto(f"{site.url}/clients")
    boxes = page.locator("input[name=clients]")
    page.get_by_label("Choose every client").check()
    assert boxes.count() == page.locator("input[name=clients]:checked").count() > 1
    page.get_by_label("Choose every client").uncheck()
    assert page.locator("input[name=clients]:checked").count() == 0


def test_an_island_leaves_what_is_unfolded_as_it_is(page: Any, site: Site) -> None:
    page.goto(f"/settings/atelier/webhooks/{site.seed['webhook']}")
    asks = "htmx.trigger('#deliveries', 'htmx:beforeRequest', {requestConfig: {}})"
    assert page.evaluate(asks)
    page.get_by_text("what is sent").first.click()
    assert not page.evaluate(asks)


def test_it_shows_foreign_text_as_text(page: Any, site: Site) -> None:
    page.goto("/datasets/atelier/odd-rows")
    assert page.get_by_text("<script>alert(1)</script> [U+202E]elddim").is_visible()
