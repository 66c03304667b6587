"""Coming in through the page: by password, with a second factor, at the OIDC provider; and what strangers see."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests import oidc, totp
from tests.browser.conftest import LOOKS, Site, give_password, looks_finished

pytestmark = pytest.mark.browser

SSO = "Sign in with single sign-on"
Visitor = Callable[[], Any]


def test_it_signs_in_by_password(visitor: Visitor, site: Site) -> None:
    page = visitor()
    page.goto("/")
    looks_finished(page)
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("E-mail").fill(site.seed["email"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    looks_finished(page)
    give_password(page, site, site.seed["email"])
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_it_signs_in_with_a_second_factor(visitor: Visitor, site: Site) -> None:
    secret, recovery = set_up_totp(visitor(), site)
    # The code of the next half minute: this one's was good for setting it up.
    for code in (totp.code(secret, ahead=1), recovery):
        page = visitor()
        page.goto("/")
        give_password(page, site, "tess@example.org")
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        give_code(page, "000000")
        expect(page.get_by_role("alert")).to_be_visible()
        looks_finished(page)
        give_code(page, code)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def give_code(page: Any, code: str) -> None:
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Sign in").click()


def set_up_totp(page: Any, site: Site) -> tuple[str, str]:
    """The secret that the page shows, and one of the recovery codes."""
    page.goto("/account")
    give_password(page, site, "tess@example.org")
    page.get_by_role("link", name="Second factor").click()
    page.get_by_role("link", name="Set up an authenticator app").click()
    page.get_by_label("Password").fill(site.seed["password"])  # once more, for what is that grave
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Set up an authenticator app")).to_be_visible()
    looks_finished(page)
    secret = page.locator("#totp-secret").inner_text()
    page.get_by_label("Code").fill(totp.code(secret))
    page.get_by_role("button", name="Turn it on").click()
    page.wait_for_url(re.compile("/accounts/2fa/recovery-codes/"))
    looks_finished(page)
    return secret, page.locator("#recovery-codes").inner_text().split()[0]


def test_it_signs_in_at_the_provider(visitor: Visitor, site: Site) -> None:
    oidc.person(site.issuer, "olga", email="olga@example.org", email_verified=True)
    page = visitor()
    page.goto("/account")
    agree(page, "olga")
    page.wait_for_url(f"{site.url}/account")
    expect(page.get_by_text("olga@example.org").first).to_be_visible()
    expect(page.get_by_text("Linked with sso")).to_be_visible()


def agree(page: Any, sub: str) -> None:
    page.get_by_role("button", name=SSO).click()
    page.get_by_placeholder("sub").fill(sub)
    page.get_by_role("button", name="Authorize").click()


def test_it_keeps_out_whom_the_provider_knows_and_we_do_not(browser: Any, site: Site) -> None:
    oidc.person(site.issuer, "stranger", email="stranger@example.net", email_verified=True)
    page = browser.new_page(base_url=site.url)  # not a strict one: a page of 403 is an error on the console
    page.route(LOOKS, lambda route: route.fulfill(body="", content_type="text/css"))
    page.goto("/")
    agree(page, "stranger")
    expect(page.get_by_role("alert")).to_contain_text("stranger@example.net has no account here")
    looks_finished(page)
    page.close()
