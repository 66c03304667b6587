from __future__ import annotations

import json

import pytest
from django.test import Client

from registry.models import AuditEvent, User

USERS = "/api/v1/users"
DANA = {"user": "Dana@example.org"}


def test_an_administrator_makes_an_account_whose_password_signs_in(api):
    made = api("admin").post(USERS, DANA, format="json")
    assert (made.status_code, made.json()["user"], made.json()["administrator"]) == (
        201,
        "dana@example.org",
        False,
    )
    login = {"login": "dana@example.org", "password": made.json()["password"]}
    assert Client().post("/accounts/login/", login).status_code == 302
    assert "password" not in api("admin").get(f"{USERS}/dana@example.org").json()


def test_it_makes_an_account_once(api):
    api("admin").post(USERS, DANA, format="json")
    again = api("admin").post(USERS, {"user": "dana@example.org"}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "exists")


def test_it_repeats_a_post_without_the_password(api):
    first, again = (api("admin").post(USERS, DANA, format="json", HTTP_IDEMPOTENCY_KEY="k1") for _ in range(2))
    assert again["Idempotency-Replayed"] == "true"
    assert ("password" in first.json(), "password" in again.json()) == (True, False)


def test_it_closes_an_account_and_opens_it_again(api):
    path = f"{USERS}/erin@example.org"
    closed = api("admin").patch(path, {"active": False}, format="json")
    assert (closed.status_code, closed.json()["active"]) == (200, False)
    assert api("erin").get("/api/v1/me").status_code == 401
    found = api("admin").get(USERS, {"active": "false"}).json()["results"]
    assert [row["user"] for row in found] == ["erin@example.org"]
    api("admin").patch(path, {"active": True}, format="json")
    assert api("erin").get("/api/v1/me").status_code == 200
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {"user.close", "user.reopen"}


def test_it_looks_after_an_address_with_a_slash(api, world):
    slashed = "a/b@example.org"
    api("admin").post(USERS, {"user": slashed}, format="json")
    team = api("alice").post("/api/v1/teams/health/members", {"user": slashed, "role": "viewer"}, format="json")
    for path in (f"{USERS}/a/b@example.org", f"{USERS}/a%2Fb%40example.org"):
        assert api("admin").get(path).json()["user"] == slashed
        assert api("admin").post(f"{path}/sign-out", {}, format="json").json()["sessions"] == 0
        assert api("admin").patch(path, {"active": False}, format="json").json()["active"] is False
    removed = api("alice").delete("/api/v1/teams/health/members/a%2Fb@example.org")
    assert (team.status_code, removed.status_code) == (201, 204)
    assert api("admin").get(f"{USERS}/a/b").json()["code"] == "not_found"


def test_it_finds_accounts_and_gives_them_as_tables(api):
    def found(**query):
        return [row["user"] for row in api("admin").get(USERS, query).json()["results"]]

    assert found(q="LIC") == ["alice@example.org"]
    assert found(administrator="true") == ["admin@example.org"]
    assert found(administrator="false", q="in@") == ["erin@example.org"]
    lines = b"".join(api("admin").get(USERS, {"format": "csv", "q": "er"})).decode().splitlines()
    assert lines[0] == "user,active,administrator,created_at,last_sign_in"
    assert lines[1].startswith("erin@example.org,true,false,")
    answer = api("admin").get(USERS, HTTP_ACCEPT="application/x-ndjson")
    assert json.loads(b"".join(answer).splitlines()[0])["user"] == "alice@example.org"


def test_it_signs_somebody_out(api, world):
    session = Client()
    session.force_login(world.erin, backend="django.contrib.auth.backends.ModelBackend")
    answer = api("admin").post(f"{USERS}/erin@example.org/sign-out", {}, format="json")
    assert answer.json()["sessions"] == 1
    assert session.get("/account").status_code == 302


def test_nobody_closes_the_own_account(api):
    answer = api("admin").patch(f"{USERS}/admin@example.org", {"active": False}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "own_account")


def test_it_names_nobody_who_is_not_here(api):
    assert api("admin").patch(f"{USERS}/nobody@example.org", {"active": False}, format="json").status_code == 404


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_only_administrators_look_after_accounts(api, who):
    path = f"{USERS}/erin@example.org"
    answers = [
        api(who).get(USERS),
        api(who).post(USERS, DANA, format="json"),
        api(who).get(path),
        api(who).patch(path, {"active": False}, format="json"),
        api(who).post(f"{path}/sign-out", {}, format="json"),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert User.objects.get(email="erin@example.org").is_active
