"""What lists take: each filter is checked, and what is unknown to a field is refused."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.services import clients, datasets
from tests.make import make_adapter, make_base_version, make_version

API = "/api/v1"


def names(answer):
    assert answer.status_code == 200, answer.content
    return [row["name"] for row in answer.json()["results"]]


@pytest.mark.parametrize(
    ("path", "param", "value"),
    [
        ("campaigns", "state", "zzz"),
        ("jobs", "state", "zzz"),
        ("jobs", "kind", "zzz"),
        ("training-jobs", "state", "zzz"),
        ("evaluations", "job", "abc"),
        ("evaluations", "state", "zzz"),
        ("evaluations", "split", "zzz"),
        ("clients", "order_by", "zzz"),
        ("clients", "builtin", "zzz"),
        ("datasets", "order_by", "zzz"),
        ("datasets", "status", "zzz"),
        ("adapters", "order_by", "zzz"),
        ("staleness", "team", "a\x00"),
        ("lineage", "depth", "9" * 30),
        ("receipts", "from", "zzz"),
        ("audit", "to", "zzz"),
    ],
)
def test_it_names_the_filter_that_is_wrong(api, path, param, value):
    answer = api("alice").get(
        f"{API}/{path}", {param: value, **({"node": "base:x@1"} if path == "lineage" else {})}
    )
    assert (answer.status_code, answer.json()["param"]) == (422, param)
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    ("path", "query", "param", "said"),
    [
        ("adapters", "verticl=x", "verticl", "Did you mean vertical?"),
        ("adapters", "verticl=x&status=ready", "verticl", "vertical, base_model"),
        ("clients", "name=ward", "name", "builtin"),
        ("jobs", "status=failed", "status", "state"),
        ("teams", "q=x", "q", "This list has no filters"),
        ("audit?format=csv", "cleint=health/ward", "cleint", "Did you mean client?"),
        ("resolve", "client=health/ward&att=2026-05-04", "att", "Did you mean at?"),
    ],
)
def test_what_no_list_knows_is_refused_by_name_with_what_there_is(api, path, query, param, said):
    answer = api("alice").get(f"{API}/{path}{'&' if '?' in path else '?'}{query}")
    fault = next(one for one in answer.json()["errors"] if one["param"] == param)
    assert (answer.status_code, fault["code"]) == (422, "unknown_parameter")
    assert said in fault["message"]


def test_all_that_is_wrong_in_a_query_is_said_at_once(api):
    answer = api("alice").get(f"{API}/adapters?verticl=x&status=zzz").json()
    assert {one["param"] for one in answer["errors"]} == {"verticl", "status"}


@pytest.mark.parametrize("query", ["page=2", "offset=50", "format=json", "limit=5", "limit=5&page=1"])
def test_what_other_pagers_send_changes_nothing(api, three, query):
    assert len(names(api("bob").get(f"{API}/clients?{query}"))) == 3


def test_a_choice_that_is_none_is_answered_with_those_that_are(api):
    said = api("alice").get(f"{API}/clients?order_by=zzz").json()["errors"][0]["message"]
    assert "name, -name, created_at, -created_at" in said
    made = api("alice").post(f"{API}/teams/health/members", {"user": "bob@example.org", "role": "boss"}, "json")
    assert "viewer, editor, maintainer, owner" in made.json()["errors"][0]["message"]


@pytest.mark.parametrize("order", ["created_at", "-created_at"])
def test_versions_come_in_the_order_that_is_asked_for(api, world, store, order):
    rows = [make_version(world.health) for _ in range(3)]
    found = api("bob").get(f"{API}/adapters/health/triage/versions?order_by={order}&limit=2").json()
    numbers = [row["number"] for row in found["results"] + api("bob").get(found["next"]).json()["results"]]
    assert numbers == [row.number for row in (rows if order == "created_at" else reversed(rows))]


@pytest.mark.parametrize("path", ["tokens", "federation"])
def test_it_is_narrowed_to_a_team(api, path):
    answers = [api("alice").get(f"{API}/{path}?team={team}").json()["results"] for team in ("health", "finance")]
    assert answers[1] == []
    assert path != "tokens" or answers[0]


@pytest.mark.parametrize("query", ["a=1", "job=99999999999999999999"])
def test_a_number_that_is_too_large_is_no_500(api, query):
    assert api("alice").get(f"{API}/evaluations?{query}").status_code in (200, 422)


@pytest.mark.parametrize("path", ["jobs", "training-jobs", "evaluations", "campaigns"])
def test_an_id_that_is_too_large_is_404(api, path):
    assert api("alice").get(f"{API}/{path}/99999999999999999999999").status_code == 404


@pytest.fixture
def three(world):
    for name in ("ward-a", "clinic", "ward-b"):
        clients.create(by=SYSTEM, team=world.health, name=name, vertical="healthcare")
        datasets.create(by=SYSTEM, team=world.health, name=name, vertical="healthcare")


@pytest.mark.parametrize("path", ["clients", "datasets"])
def test_it_searches_and_orders(api, three, path):
    assert names(api("bob").get(f"{API}/{path}?q=ward&order_by=name")) == ["ward-a", "ward-b"]
    assert names(api("bob").get(f"{API}/{path}?order_by=-name")) == ["ward-b", "ward-a", "clinic"]
    assert names(api("bob").get(f"{API}/{path}?order_by=created_at&limit=1")) == ["ward-a"]
    assert names(api("bob").get(f"{API}/{path}?vertical=none")) == []
    assert names(api("charlie").get(f"{API}/{path}?q=ward")) == []


@pytest.mark.parametrize("order", ["name", "-created_at"])
def test_pages_follow_the_order(api, three, order):
    seen, url = [], f"{API}/clients?order_by={order}&limit=1"
    while url:
        page = api("bob").get(url).json()
        seen += [row["name"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == ["clinic", "ward-a", "ward-b"]


def test_it_lists_a_teams_own_client_only_when_asked(api, world, three):
    assert "internal" not in names(api("bob").get(f"{API}/clients"))
    assert names(api("bob").get(f"{API}/clients?builtin=true")) == ["internal"]


def test_campaigns_are_listed_by_state_and_base(api, world):
    make_base_version()
    assert api("bob").get(f"{API}/campaigns?state=draft&base_model=llama&team=health").json()["results"] == []


def test_the_clients_of_an_adapter_are_a_list_like_others(api, world, store):
    make_adapter(world.health)
    answer = api("bob").get(f"{API}/adapters/health/triage/clients").json()
    assert answer == {"results": [], "next": None, "previous": None}
