from __future__ import annotations

from registry.models import AuditEvent


def test_it_says_who_a_token_is(api):
    me = api("alice").get("/api/v1/me").json()
    assert me["team"] == "health"
    assert "train" in me["scopes"]


def test_it_refuses_no_credentials_and_wrong_ones(api):
    assert api(None).get("/api/v1/me").status_code == 401
    wrong = api(None).get("/api/v1/me", HTTP_AUTHORIZATION="Bearer plt_abcdefgh_" + "x" * 40)
    assert wrong.status_code == 401
    assert wrong["Content-Type"] == "application/problem+json"


def test_it_shows_only_own_teams(api):
    slugs = [team["slug"] for team in api("charlie").get("/api/v1/teams").json()["results"]]
    assert slugs == ["finance"]
    assert api("charlie").get("/api/v1/teams/health").status_code == 404


def test_it_lets_only_administrators_make_teams(api):
    body = {"slug": "legal", "name": "Legal"}
    assert api("alice").post("/api/v1/teams", body, format="json").status_code == 403
    assert api("admin").post("/api/v1/teams", body, format="json").status_code == 201
    again = api("admin").post("/api/v1/teams", body, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "exists")


def test_it_names_all_bad_fields_at_once(api):
    answer = api("admin").post("/api/v1/teams", {"slug": "-Bad-"}, format="json").json()
    assert {error["param"] for error in answer["errors"]} == {"slug", "name"}


def test_it_keeps_the_last_owner(api):
    api("alice").delete("/api/v1/teams/health/members/admin@example.org")
    answer = api("alice").delete("/api/v1/teams/health/members/alice@example.org")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


def test_it_refuses_a_viewer_to_change_members(api):
    body = {"user": "charlie@example.org", "role": "viewer"}
    assert api("bob").post("/api/v1/teams/health/members", body, format="json").status_code == 403
    assert api("charlie").post("/api/v1/teams/health/members", body, format="json").status_code == 404


def test_it_records_who_changed_a_team(api):
    api("alice").patch("/api/v1/teams/health", {"name": "New"}, format="json", HTTP_X_REQUEST_ID="req-1")
    event = AuditEvent.objects.get(action="team.update")
    assert (event.request_id, event.before, event.after) == ("req-1", {"name": "Health"}, {"name": "New"})


def test_it_refuses_a_change_of_what_was_changed_meanwhile(api):
    answer = api("alice").patch("/api/v1/teams/health", {"name": "N"}, format="json", HTTP_IF_MATCH='"old"')
    assert answer.status_code == 412
