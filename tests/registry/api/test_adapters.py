from __future__ import annotations

import pytest

from tests.make import make_adapter, make_base_version, make_version

BODY = {
    "team": "health",
    "name": "triage",
    "vertical": "healthcare",
    "base_model": "llama",
    "labels": {"tier": "a"},
}
ONE = "/api/v1/adapters/health/triage"
pytestmark = pytest.mark.usefixtures("store")


def test_it_makes_an_adapter(api, world):
    make_base_version()
    answer = api("erin").post("/api/v1/adapters", BODY, format="json")
    assert (answer.status_code, answer.json()["address"]) == (201, "health/triage")
    assert (answer.json()["labels"], answer.json()["current_version"]) == ({"tier": "a"}, None)
    assert api("erin").post("/api/v1/adapters", BODY, format="json").status_code == 409


def test_an_unknown_base_or_team_is_missing(api, world):
    assert api("alice").post("/api/v1/adapters", BODY, format="json").status_code == 404
    make_base_version()
    assert api("alice").post("/api/v1/adapters", {**BODY, "team": "x"}, format="json").status_code == 404


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401)])
def test_only_editors_make_and_change_adapters(api, world, who, status):
    make_adapter(world.health)
    assert api(who).post("/api/v1/adapters", {**BODY, "name": "other"}, format="json").status_code == status
    assert api(who).patch(ONE, {"description": "d"}, format="json").status_code == status


@pytest.mark.parametrize("wrong", [{"labels": {"bad key!": "x"}}, {"name": "Not A Slug"}, {"vertical": ""}])
def test_it_names_the_wrong_field(api, world, wrong):
    make_base_version()
    answer = api("alice").post("/api/v1/adapters", {**BODY, **wrong}, format="json")
    assert (answer.status_code, answer.json()["param"]) == (422, next(iter(wrong)))


def test_it_changes_only_what_is_given(api, world):
    make_base_version()
    api("alice").post("/api/v1/adapters", BODY, format="json")
    changed = api("alice").patch(ONE, {"description": "For triage."}, format="json").json()
    assert (changed["description"], changed["labels"]) == ("For triage.", {"tier": "a"})


def test_it_honours_if_match(api, world):
    make_adapter(world.health)
    assert api("alice").patch(ONE, {"description": "d"}, format="json", HTTP_IF_MATCH='"old"').status_code == 412


def test_it_hides_another_teams_adapters(api, world):
    make_adapter(world.health)
    assert api("bob").get(ONE).status_code == 200
    assert api("charlie").get(ONE).status_code == 404
    assert api("charlie").get("/api/v1/adapters").json()["results"] == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("label=tier:a", 1),
        ("label=tier:b", 0),
        ("vertical=healthcare", 1),
        ("vertical=legal", 0),
        ("q=tri", 1),
        ("stale=true", 0),
        ("stale=false", 1),
        ("status=ready", 0),
        ("order_by=name", 1),
    ],
)
def test_it_filters(api, world, query, found):
    make_base_version()
    api("alice").post("/api/v1/adapters", BODY, format="json")
    assert len(api("bob").get(f"/api/v1/adapters?{query}").json()["results"]) == found


def test_it_says_why_an_adapter_is_stale(api, world):
    make_version(world.health)
    make_base_version()
    listed = api("bob").get("/api/v1/adapters?stale=true").json()["results"]
    assert [reason["reason"] for reason in listed[0]["stale"]["reasons"]] == ["base_superseded"]
    assert listed[0]["stale"] == api("bob").get(ONE).json()["stale"]


def test_a_page_costs_the_same_number_of_queries_however_long(api, world, django_assert_max_num_queries):
    for name in ("a", "b", "c", "d"):
        make_version(world.health, name)
    make_base_version()
    with django_assert_max_num_queries(20):
        assert len(api("bob").get("/api/v1/adapters").json()["results"]) == 4
