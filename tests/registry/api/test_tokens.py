from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import ApiToken, AuditEvent
from tests.world import token

BODY = {"team": "health", "name": "ci", "scopes": ["read"]}


def test_it_shows_the_text_once(api):
    made = api("alice").post("/api/v1/tokens", BODY, format="json").json()
    listed = api("alice").get("/api/v1/tokens").json()["results"]
    assert made["token"].startswith("plt_")
    assert all("token" not in token for token in listed)


def test_it_stops_a_revoked_token_at_once(api):
    made = api("alice").post("/api/v1/tokens", BODY, format="json").json()
    header = {"HTTP_AUTHORIZATION": f"Bearer {made['token']}"}
    assert api(None).get("/api/v1/me", **header).status_code == 200
    assert api("alice").delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert api(None).get("/api/v1/me", **header).status_code == 401


def test_it_stops_an_expired_token(api, world):
    text = world.tokens["bob"]
    ApiToken.objects.filter(prefix=text.split("_")[1]).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api("bob").get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("days", [-1, 366])
def test_it_bounds_the_life_of_a_token(api, days):
    body = {**BODY, "expires_at": (timezone.now() + timedelta(days=days)).isoformat()}
    answer = api("alice").post("/api/v1/tokens", body, format="json")
    assert (answer.status_code, answer.json()["param"]) == (422, "expires_at")


def test_it_hides_another_teams_tokens(api):
    made = api("alice").post("/api/v1/tokens", BODY, format="json").json()
    assert api("charlie").delete(f"/api/v1/tokens/{made['id']}").status_code == 404
    assert api("bob").delete(f"/api/v1/tokens/{made['id']}").status_code == 403


def test_it_answers_a_repeated_post_once_and_without_the_secret(api):
    first = api("alice").post("/api/v1/tokens", BODY, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    again = api("alice").post("/api/v1/tokens", BODY, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert again.json()["id"] == first.json()["id"]
    assert again["Idempotency-Replayed"] == "true"
    assert "token" not in again.json()


def test_it_refuses_a_key_of_another_body(api):
    api("alice").post("/api/v1/tokens", BODY, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    other = api("alice").post("/api/v1/tokens", {**BODY, "name": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


@pytest.mark.parametrize("limit", ["0", "201", "x", "9" * 40])
def test_it_bounds_the_page(api, limit):
    assert api("alice").get(f"/api/v1/tokens?limit={limit}").status_code == 422


def test_it_serves_a_schema(api):
    answer = api("alice").get("/api/schema/")
    assert answer.status_code == 200
    assert b"openapi: 3.1" in answer.content


def rotated(api, who, pk, **body):
    return api(who).post(f"/api/v1/tokens/{pk}/rotate", body, format="json")


def works(api, text):
    return api(None).get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {text}").status_code == 200


def test_it_rotates_with_a_grace(api):
    old = api("alice").post("/api/v1/tokens", BODY, format="json").json()
    new = rotated(api, "alice", old["id"], grace_seconds=60).json()
    assert (new["name"], new["scopes"]) == ("ci", ["read"])
    assert works(api, old["token"])
    assert works(api, new["token"])
    assert ApiToken.objects.get(pk=old["id"]).expires_at <= timezone.now() + timedelta(seconds=60)
    event = AuditEvent.objects.get(action="token.rotate")
    assert (event.object, event.after["successor"]) == (f"token:{old['prefix']}", new["prefix"])


def test_it_rotates_without_a_grace_at_once(api):
    old = api("alice").post("/api/v1/tokens", BODY, format="json").json()
    assert rotated(api, "alice", old["id"], grace_seconds=0).status_code == 201
    assert not works(api, old["token"])
    assert rotated(api, "alice", old["id"]).json()["code"] == "ended"


def test_a_rotated_token_belongs_to_whoever_rotated_it(api, world):
    """Alice gets no token of the administrator."""
    pk = ApiToken.objects.get(prefix=world.tokens["admin"].split("_")[1]).pk
    assert rotated(api, "alice", pk).json()["owner"] == "alice@example.org"


def test_it_rotates_no_more_scopes_than_one_has(api, world):
    few = token(world, "alice", world.health, "admin")
    pk = ApiToken.objects.get(prefix=world.tokens["alice"].split("_")[1]).pk
    answer = api(None).post(f"/api/v1/tokens/{pk}/rotate", {}, HTTP_AUTHORIZATION=f"Bearer {few}", format="json")
    assert answer.status_code == 403
    assert works(api, world.tokens["alice"])


def test_it_hides_the_rotation_of_another_teams_tokens(api):
    made = api("alice").post("/api/v1/tokens", BODY, format="json").json()
    assert rotated(api, "charlie", made["id"]).status_code == 404
    assert rotated(api, "bob", made["id"]).status_code == 403
    assert rotated(api, "alice", made["id"], grace_seconds=604_801).status_code == 422
