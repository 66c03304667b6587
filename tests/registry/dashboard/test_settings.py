"""A team's settings: owners see and change them, members see who is in, and nobody else sees anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser

from registry.models import ApiToken, Membership, TrustedIssuer, WebhookDelivery, WebhookEndpoint
from registry.services import webhooks
from tests.world import World

Pages = Callable[[str | None], Browser]
HOME = "/settings/health"
TABS = ("tokens", "webhooks", "issuers")


def shown(browser: Browser, path: str) -> str:
    return browser.get(path).content.decode()


def secret_of(answer: Any) -> str:
    """What a page shows once."""
    found = re.search('id="secret">([^<]+)<', answer.content.decode())
    assert found is not None, answer.content.decode()[:2000]
    return found[1]


def test_it_begins_with_ones_own_team(pages: Pages) -> None:
    assert pages("charlie").get("/settings")["Location"] == "/settings/finance"


def test_who_is_in_no_team_is_told_so(pages: Pages, world: World) -> None:
    Membership.objects.filter(user=world.bob).delete()
    assert "in no team yet" in shown(pages("bob"), "/settings")


@pytest.mark.parametrize("tab", TABS)
def test_only_owners_open_what_is_theirs(pages: Pages, world: World, tab: str) -> None:
    for name, status in (("alice", 200), ("bob", 403), ("erin", 403), ("charlie", 404)):
        assert pages(name).get(f"{HOME}/{tab}").status_code == status, name


def test_a_viewer_sees_members_and_health_and_no_form(pages: Pages) -> None:
    page = shown(pages("bob"), HOME)
    assert "erin@example.org" in page
    assert f'action="{HOME}' not in page
    assert f"{HOME}/tokens" not in page
    assert pages("bob").get(f"{HOME}/health").status_code == 200
    assert pages("charlie").get(HOME).status_code == pages("charlie").get(f"{HOME}/health").status_code == 404


def test_it_adds_a_member_changes_the_role_and_removes_it(pages: Pages, world: World) -> None:
    alice, member = pages("alice"), Membership.objects.filter(team=world.health, user=world.charlie)
    for role in ("viewer", "maintainer"):
        alice.post(f"{HOME}/members", {"user": "charlie@example.org", "role": role})
        assert member.get().role == role
    alice.post(f"{HOME}/members/remove", {"user": "charlie@example.org"})
    assert not member.exists()


def test_who_leaves_is_taken_to_a_page_that_is_still_there(pages: Pages, world: World) -> None:
    alice = pages("alice")
    answer = alice.post(f"{HOME}/members/remove", {"user": "alice@example.org"})
    assert answer["Location"] == "/settings"
    assert alice.get(HOME).status_code == 404


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_nobody_else_changes_members(pages: Pages, world: World, who: str) -> None:
    pages(who).post(f"{HOME}/members", {"user": f"{who}@example.org", "role": "owner"})
    pages(who).post(f"{HOME}/members/remove", {"user": "erin@example.org"})
    assert not Membership.objects.filter(team=world.health, user=getattr(world, who), role="owner").exists()
    assert Membership.objects.filter(team=world.health, user=world.erin).exists()


def test_a_minted_token_is_shown_once_and_kept_by_no_cache(pages: Pages, api: Any) -> None:
    answer = pages("alice").post(f"{HOME}/tokens/mint", {"name": "ci", "scopes": ["read"]})
    text = secret_of(answer)
    assert answer["Cache-Control"] == "no-store"
    assert api(None).get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {text}").json()["token"]["name"] == "ci"
    assert text not in shown(pages("alice"), f"{HOME}/tokens")


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"scopes": ["root"]}, {"expires": "soon"}, {"expires": "2001-01-01"}]
)
def test_it_says_why_a_token_is_not_minted(pages: Pages, world: World, wrong: dict[str, Any]) -> None:
    alice, count = pages("alice"), ApiToken.objects.count()
    answer = alice.post(f"{HOME}/tokens/mint", {"name": "ci", "scopes": ["read"], **wrong}, follow=True)
    assert 'class="notice error"' in answer.content.decode()
    assert ApiToken.objects.count() == count


def test_it_rotates_and_revokes_a_token(pages: Pages, api: Any) -> None:
    alice = pages("alice")
    first = secret_of(alice.post(f"{HOME}/tokens/mint", {"name": "ci", "scopes": ["read"]}))
    old = ApiToken.objects.get(prefix=first.split("_")[1])
    second = secret_of(alice.post(f"{HOME}/tokens/{old.pk}/rotate"))
    new = ApiToken.objects.get(prefix=second.split("_")[1])
    alice.post(f"{HOME}/tokens/{new.pk}/revoke")
    statuses = [
        api(None).get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {text}").status_code for text in (first, second)
    ]
    assert statuses == [200, 401]


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_nobody_else_touches_tokens(pages: Pages, world: World, who: str) -> None:
    token = ApiToken.objects.get(prefix=world.tokens["alice"].split("_")[1])
    count = ApiToken.objects.count()
    for act in ("mint", f"{token.pk}/rotate", f"{token.pk}/revoke"):
        pages(who).post(f"{HOME}/tokens/{act}", {"name": "x", "scopes": ["read"]})
    token.refresh_from_db()
    assert (token.revoked_at, ApiToken.objects.count()) == (None, count)


@pytest.fixture
def hook(world: World) -> WebhookEndpoint:
    return webhooks.create(by=world.by("alice"), team=world.health, url="https://a.example", events=["*"])[0]


def test_it_makes_a_webhook_and_shows_its_secret_once(pages: Pages, world: World) -> None:
    wish = {"url": "https://hooks.example.org/in", "events": ["job.*", "alias.moved"]}
    secret = secret_of(pages("alice").post(f"{HOME}/webhooks/create", wish))
    row = WebhookEndpoint.objects.get()
    assert (webhooks.secrets_of(row), row.events) == ([secret], ["alias.moved", "job.*"])
    assert secret not in shown(pages("alice"), f"{HOME}/webhooks/{row.pk}")


def test_it_switches_rotates_and_deletes_a_webhook(pages: Pages, hook: WebhookEndpoint) -> None:
    alice, path = pages("alice"), f"{HOME}/webhooks/{hook.pk}"
    for enabled in (False, True):
        alice.post(f"{path}/switch", {"enabled": str(int(enabled))})
        hook.refresh_from_db()
        assert hook.enabled is enabled
    secret = secret_of(alice.post(f"{path}/rotate"))
    hook.refresh_from_db()
    assert webhooks.secrets_of(hook)[0] == secret
    assert alice.post(f"{path}/delete")["Location"] == f"{HOME}/webhooks"
    assert not WebhookEndpoint.objects.exists()


@pytest.fixture
def delivery(hook: WebhookEndpoint) -> WebhookDelivery:
    body = '{"type": "job.failed", "data": {"why": "<script>alert(1)</script>"}}'
    now = hook.created_at
    return WebhookDelivery.objects.create(
        endpoint=hook, message="msg_1", event="job.failed", body=body, state="delivered", attempts=1, due_at=now
    )


def test_it_shows_what_was_sent_and_sends_it_again(pages: Pages, delivery: WebhookDelivery) -> None:
    alice, path = pages("alice"), f"{HOME}/webhooks/{delivery.endpoint_id}"
    assert "&lt;script&gt;" in shown(alice, path)
    assert "msg_1" not in shown(alice, f"{path}?state=pending")
    alice.post(f"{path}/replay", {"delivery": str(delivery.pk)})
    assert "msg_1" in shown(alice, f"{path}?state=pending")


def test_it_sends_again_what_was_made_since_a_day(pages: Pages, delivery: WebhookDelivery) -> None:
    alice, path = pages("alice"), f"{HOME}/webhooks/{delivery.endpoint_id}/replay"
    alice.post(path, {"since": "2100-01-01"})
    delivery.refresh_from_db()
    assert delivery.state == "delivered"
    alice.post(path, {"since": "2020-01-01"})
    delivery.refresh_from_db()
    assert delivery.state == "pending"


@pytest.mark.parametrize(
    "wrong", [{"since": "yesterday"}, {"delivery": "x"}, {"delivery": "²"}, {"delivery": "9" * 30}, {}]
)
def test_it_sends_nothing_again_that_is_not_there(pages: Pages, delivery: WebhookDelivery, wrong: Any) -> None:
    path = f"{HOME}/webhooks/{delivery.endpoint_id}"
    answer = pages("alice").post(
        f"{path}/replay", wrong, headers={"Referer": f"http://testserver{path}"}, follow=True
    )
    assert 'class="notice error"' in answer.content.decode()


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_nobody_else_touches_webhooks(pages: Pages, delivery: WebhookDelivery, who: str) -> None:
    path = f"{HOME}/webhooks/{delivery.endpoint_id}"
    assert pages(who).get(path).status_code in (403, 404)
    for act in ("rotate", "switch", "delete", "replay"):
        pages(who).post(f"{path}/{act}", {"delivery": str(delivery.pk)})
    pages(who).post(f"{HOME}/webhooks/create", {"url": "https://b.example", "events": ["*"]})
    kept = WebhookEndpoint.objects.get()
    assert (kept.enabled, kept.former_secret, WebhookDelivery.objects.get().state) == (True, "", "delivered")


def test_a_webhook_is_shown_at_its_own_team_alone(pages: Pages, hook: WebhookEndpoint, world: World) -> None:
    Membership.objects.create(team=world.finance, user=world.alice, role="owner")
    assert pages("alice").get(f"/settings/finance/webhooks/{hook.pk}").status_code == 404


TRUST = {
    "issuer": "https://ci.example.org", "audience": "plethora", "subject": "repo:a/b:*", "scopes": ["read"],
    "minutes": "15",
}  # fmt: skip


def test_it_trusts_an_issuer_and_ends_that(pages: Pages, world: World) -> None:
    alice = pages("alice")
    alice.post(f"{HOME}/issuers/trust", TRUST)
    row = TrustedIssuer.objects.get()
    assert (row.subject, row.scopes, row.lifetime_seconds) == ("repo:a/b:*", ["read"], 900)
    assert "https://ci.example.org" in shown(alice, f"{HOME}/issuers")
    alice.post(f"{HOME}/issuers/{row.pk}/distrust")
    assert "<strong>https://ci.example.org" not in shown(alice, f"{HOME}/issuers")


@pytest.mark.parametrize(
    "wrong", [{"subject": "*"}, {"scopes": ["admin"]}, {"minutes": "61"}, {"minutes": "x"}, {"issuer": "http://x"}]
)
def test_it_trusts_nothing_too_far(pages: Pages, world: World, wrong: dict[str, Any]) -> None:
    pages("alice").post(f"{HOME}/issuers/trust", {**TRUST, **wrong})
    assert not TrustedIssuer.objects.exists()


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_nobody_else_says_whom_the_team_trusts(pages: Pages, world: World, who: str) -> None:
    pages("alice").post(f"{HOME}/issuers/trust", TRUST)
    row = TrustedIssuer.objects.get()
    pages(who).post(f"{HOME}/issuers/{row.pk}/distrust")
    pages(who).post(f"{HOME}/issuers/trust", TRUST)
    row.refresh_from_db()
    assert (row.revoked_at, TrustedIssuer.objects.count()) == (None, 1)


def test_what_was_shown_once_leads_to_its_page_when_asked_for_again(pages: Pages, hook: WebhookEndpoint) -> None:
    """A browser asks so after an act on the page that showed it, and when its user reloads."""
    alice = pages("alice")
    for path, page in (
        (f"{HOME}/tokens/mint", f"{HOME}/tokens"),
        (f"{HOME}/tokens/1/rotate", f"{HOME}/tokens"),
        (f"{HOME}/webhooks/create", f"{HOME}/webhooks"),
        (f"{HOME}/webhooks/{hook.pk}/rotate", f"{HOME}/webhooks/{hook.pk}"),
        ("/clients/health/st-olaf/keys", "/clients/health/st-olaf"),
    ):
        assert alice.get(path)["Location"] == page


def test_a_form_that_was_refused_leads_back_to_itself(world: World, pages: Pages) -> None:
    form = f"http://testserver{HOME}/webhooks"
    answer = pages("alice").post(f"{HOME}/webhooks/create", {"url": "http://a.example"}, HTTP_REFERER=form)
    assert answer.status_code == 422
    assert f'href="{form}"' in answer.content.decode()
    answer = pages("alice").post(
        f"{HOME}/webhooks/create", {"url": "x"}, HTTP_REFERER="https://elsewhere.example/"
    )
    assert "elsewhere" not in answer.content.decode()


def test_it_names_a_single_sign_on_only_where_there_is_one(pages: Pages, settings: Any) -> None:
    assert "single sign-on" not in shown(pages("alice"), HOME)
    settings.OIDC_ISSUER = "https://id.example.org"
    assert "single sign-on" in shown(pages("alice"), HOME)
