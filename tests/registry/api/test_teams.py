from __future__ import annotations

import pytest

from registry.models import AuditEvent
from tests.world import token


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


def test_the_tokens_of_whom_a_team_removes_end_with_the_membership(api, world):
    assert api("erin").get("/api/v1/adapters").status_code == 200
    assert api("alice").delete("/api/v1/teams/health/members/erin@example.org").status_code == 204
    assert api("erin").get("/api/v1/adapters").status_code == 401
    event = AuditEvent.objects.get(action="member.remove")
    assert event.before == {"role": "editor", "tokens": 1}
    assert api("bob").get("/api/v1/adapters").status_code == 200


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


@pytest.fixture
def legal(api):
    """A team that the administrator made a moment ago."""
    api("admin").post("/api/v1/teams", {"slug": "legal", "name": "Legal"}, format="json")
    return "/api/v1/teams/legal"


def test_whoever_makes_a_team_owns_it(api, legal):
    members = api("admin").get(f"{legal}/members").json()["results"]
    assert [(member["user"], member["role"]) for member in members] == [("admin@example.org", "owner")]


def test_an_administrator_looks_after_every_team(api, legal):
    assert api("admin").get("/api/v1/teams/finance").status_code == 200
    renamed = api("admin").patch("/api/v1/teams/finance", {"name": "Money"}, format="json")
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Money")
    body = {"user": "bob@example.org", "role": "owner"}
    assert api("admin").post(f"{legal}/members", body, format="json").status_code == 201
    assert api("admin").delete(f"{legal}/members/admin@example.org").status_code == 204
    assert api("alice").get(legal).status_code == 404


def test_an_administrators_token_without_admin_stays_in_its_team(api, world, legal):
    client = api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(world, 'admin', world.health, 'read')}")
    assert client.get(legal).status_code == 404
    assert [team["slug"] for team in client.get("/api/v1/teams").json()["results"]] == ["health"]


def test_it_tells_an_administrator_its_own_team(api, world):
    client = api(None)
    client.force_login(world.admin)
    assert client.get("/api/v1/me").json()["team"] == "health"


def test_its_owner_lets_a_new_base_retrain_by_itself(api):
    rule = {"metric": "loss", "op": "<=", "relative_to": "production"}
    body = {"auto_retrain": True, "auto_retrain_gate": [rule]}
    changed = api("alice").patch("/api/v1/teams/health", body, format="json").json()
    assert (changed["auto_retrain"], changed["auto_retrain_gate"], changed["name"]) == (True, [rule], "Health")
    event = AuditEvent.objects.get(action="team.update")
    assert (event.before["auto_retrain"], event.after["auto_retrain"]) == (False, True)


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("erin", 403), ("charlie", 404)])
def test_nobody_else_does(api, who, status):
    answer = api(who).patch("/api/v1/teams/health", {"auto_retrain": True}, format="json")
    assert answer.status_code == status


def test_it_refuses_a_gate_that_makes_no_sense(api):
    body = {"auto_retrain_gate": [{"metric": "beauty", "op": "<=", "value": 1}]}
    answer = api("alice").patch("/api/v1/teams/health", body, format="json")
    assert (answer.status_code, answer.json()["param"]) == (422, "auto_retrain_gate[0].metric")


def test_a_change_of_nothing_is_not_recorded(api):
    assert api("alice").patch("/api/v1/teams/health", {"name": "Health"}, format="json").status_code == 200
    assert not AuditEvent.objects.filter(action="team.update").exists()
