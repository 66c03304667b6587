from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import JobKind
from registry.models import AuditEvent, BaseModel, BaseVersion, Waiver
from registry.services import aliases, assignments, clients, jobs
from registry.services.assignments import Target
from tests.make import make_base_version, make_dataset_version, make_version


@pytest.fixture
def served(world, store):
    """One version on base 1, aliased, assigned to St. Olaf."""
    version = make_version(world.health, base=make_base_version())
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="")
    client = clients.create(by=SYSTEM, team=world.health, name="st-olaf", vertical="")
    assignments.assign(by=SYSTEM, client=client, slot="default", target=Target(version.adapter, alias), reason="")
    return version


def stale(client, **query):
    return client.get("/api/v1/staleness", query).json()["results"]


def test_it_is_fresh_at_first(api, served):
    assert stale(api("alice")) == []


def test_it_says_what_a_new_base_made_stale_and_who_is_hit(api, served):
    make_base_version(change="weights")
    (row,) = stale(api("alice"))
    assert (row["adapter"], row["version"], row["clients"]) == ("health/triage", 1, ["health/st-olaf"])
    (reason,) = row["reasons"]
    assert (reason["reason"], reason["change"]) == ("base_superseded", "weights")
    assert (reason["from"], reason["to"]) == ("llama@1", "llama@2")


def test_it_names_the_gravest_change_in_between(api, served):
    make_base_version(change="shape")
    make_base_version(change="template")
    assert stale(api("alice"))[0]["reasons"][0]["change"] == "shape"


def test_it_ignores_a_draft(api, served):
    make_base_version(status="draft", change="weights")
    assert stale(api("alice")) == []


def test_it_ignores_versions_that_nothing_reaches(api, served, world):
    new = make_version(world.health, base=served.base_version)
    aliases.move(by=SYSTEM, adapter=new.adapter, name="production", version=new, reason="", force=True)
    make_base_version(change="weights")
    assert [row["version"] for row in stale(api("alice"))] == [2]


def test_it_says_that_a_dataset_moved_on_or_was_withdrawn(api, world, store):
    dataset = make_dataset_version(world.health)
    make_version(world.health, base=make_base_version(), dataset_version=dataset)
    make_dataset_version(world.health)
    type(dataset).objects.filter(pk=dataset.pk).update(status="withdrawn")
    reasons = {reason["reason"] for reason in stale(api("alice"))[0]["reasons"]}
    assert reasons == {"dataset_superseded", "dataset_withdrawn"}


def test_it_says_that_a_base_was_deprecated(api, served):
    BaseVersion.objects.filter(pk=served.base_version_id).update(status="deprecated", ended_at=timezone.now())
    assert stale(api("alice"))[0]["reasons"][0]["reason"] == "base_deprecated"


def test_it_waives_with_a_reason_and_an_end(api, served):
    make_base_version(change="template")
    until = (timezone.now() + timedelta(days=7)).isoformat()
    body = {"adapter": "health/triage", "version": 1, "reason": "prompts are pinned", "until": until}
    assert api("alice").post("/api/v1/staleness/waive", body, format="json").status_code == 201
    assert stale(api("alice"))[0]["waived_until"] is not None


@pytest.fixture
def waived(api, served):
    """The waiver of triage@1, which a new chat template made stale."""
    make_base_version(change="template")
    until = (timezone.now() + timedelta(days=7)).isoformat()
    body = {"adapter": "health/triage", "version": 1, "reason": "prompts are pinned", "until": until}
    return api("alice").post("/api/v1/staleness/waive", body, format="json").json()


def test_it_shows_who_waived_it_and_why(api, waived):
    (row,) = stale(api("bob"))
    assert row["waiver"]["reason"] == "prompts are pinned"
    assert (row["waiver"]["by"][:6], row["waiver"]["id"]) == ("token:", waived["id"])
    assert row["reasons"][0]["change"] == "template"


def test_a_waiver_ends_by_itself(api, waived):
    Waiver.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert stale(api("alice"))[0]["waiver"] is None


def test_a_waiver_is_ended_early_and_once(api, waived):
    at = f"/api/v1/staleness/waivers/{waived['id']}/end"
    assert api("alice").post(at, {"reason": "pinned no longer"}, format="json").status_code == 200
    assert stale(api("alice"))[0]["waived_until"] is None
    event = AuditEvent.objects.get(action="staleness.unwaive")
    assert (event.object, event.reason) == ("adapter:health/triage@1", "pinned no longer")
    assert api("alice").post(at).status_code == 409


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("erin", 403), ("charlie", 404)])
def test_only_maintainers_end_a_waiver(api, waived, who, status):
    assert api(who).post(f"/api/v1/staleness/waivers/{waived['id']}/end").status_code == status
    assert stale(api("alice"))[0]["waived_until"] is not None


def test_it_says_since_when_and_puts_the_gravest_first(api, served, world):
    other = make_version(world.health, "coding", base=make_base_version("mistral"))
    template = make_base_version(change="template")
    make_base_version("mistral", change="shape")
    first, second = stale(api("alice"))
    assert (first["adapter"], second["adapter"]) == (other.adapter.address, "health/triage")
    assert second["reasons"][0]["since"] == template.activated_at.isoformat().replace("+00:00", "Z")


def test_it_shows_nobody_elses_staleness(api, served):
    make_base_version(change="weights")
    assert stale(api("charlie")) == []


def test_it_comes_in_pages(api, served, world):
    make_version(world.health, "second", base=served.base_version)
    make_base_version(change="weights")
    first = api("alice").get("/api/v1/staleness", {"limit": 1}).json()
    rest = api("alice").get(first["next"]).json()
    assert [row["adapter"] for row in first["results"] + rest["results"]] == ["health/second", "health/triage"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": "9" * 30}, 422),
        ({"cursor": "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk="}, 200),  # after 30 nines
        ({"cursor": "cD16eno="}, 400),  # after "zzz"
    ],
)
def test_a_page_beyond_all_numbers_breaks_nothing(api, served, query, status):
    assert api("alice").get("/api/v1/staleness", query).status_code == status


@pytest.mark.parametrize("adapters", [1, 6])
def test_it_asks_a_constant_number_of_queries(world, store, adapters, django_assert_num_queries):
    from registry.selectors import staleness

    base = make_base_version()
    for index in range(adapters):
        make_version(world.health, f"a{index}", base=base)
    make_base_version(change="weights")
    with django_assert_num_queries(5):
        assert len(staleness.listing(SYSTEM)) == adapters


@pytest.mark.parametrize("query", [{}, {"node": "base:llama@1"}, {"node": "base:llama@1", "depth": 3}])
@pytest.mark.parametrize("direction", ["both", "down"])
def test_a_graph_takes_as_many_queries_for_ten_adapters_as_for_two(api, world, store, query, direction):
    base, counts = make_base_version(), []
    make_base_version(change="weights")
    client, asked = api("alice"), {**query, **({"direction": direction} if query else {})}
    client.get("/api/v1/me")  # notes that the token was used
    for names in (range(2), range(2, 10)):
        for index in names:
            serve(world, make_version(world.health, f"a{index}", base=base), f"c{index}")
        with CaptureQueriesContext(connection) as seen:
            graph = client.get("/api/v1/lineage", asked).json()
        counts.append(len(seen))
        assert sum(node["kind"] == "adapter" for node in graph["nodes"]) == names.stop
    assert counts[0] == counts[1]


def serve(world, version, name):
    """A client of its own for the version."""
    client = clients.create(by=SYSTEM, team=world.health, name=name, vertical="")
    target = Target(version.adapter, version=version)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")


def test_it_draws_a_neighbourhood(api, served):
    graph = api("alice").get("/api/v1/lineage", {"node": "adapter:health/triage@1"}).json()
    kinds = {(edge["from"], edge["to"], edge["kind"]) for edge in graph["edges"]}
    assert ("base:llama@1", "adapter:health/triage@1", "base_of") in kinds
    assert ("adapter:health/triage@1", "client:health/st-olaf", "serves") in kinds


def test_it_follows_one_direction_and_depth(api, served):
    make_base_version(change="weights")
    up = api("alice").get("/api/v1/lineage", {"node": "client:health/st-olaf", "depth": 2, "direction": "up"})
    ids = {node["id"] for node in up.json()["nodes"]}
    assert {"client:health/st-olaf", "adapter:health/triage@1", "base:llama@1"} == ids


def test_it_hides_nodes_of_other_teams(api, served):
    assert api("charlie").get("/api/v1/lineage", {"node": "adapter:health/triage@1"}).status_code == 404
    graph = api("charlie").get("/api/v1/lineage", {"node": "base:llama@1"}).json()
    assert {node["id"] for node in graph["nodes"]} == {"base:llama@1"}
    assert BaseModel.objects.count() == 1


def ask(client, node, **query):
    """States by node, and edges, of a neighbourhood."""
    graph = client.get("/api/v1/lineage", {"node": node, **query}).json()
    edges = {(edge["from"], edge["to"]) for edge in graph["edges"]}
    return {node["id"]: node["state"] for node in graph["nodes"]}, edges


def test_it_starts_at_a_job(api, world, store):
    with transaction.atomic():
        job = jobs.create(by=SYSTEM, kind=JobKind.TRAIN, team=world.health, payload={})
    assert ask(api("alice"), f"job:{job.pk}")[0] == {f"job:{job.pk}": "queued"}
    make_version(world.health, base=make_base_version(), job=job)
    states, edges = ask(api("alice"), f"job:{job.pk}")
    assert (set(states), edges) == (
        {f"job:{job.pk}", "adapter:health/triage@1"},
        {(f"job:{job.pk}", "adapter:health/triage@1")},
    )
    assert api("charlie").get("/api/v1/lineage", {"node": f"job:{job.pk}"}).status_code == 404


@pytest.mark.parametrize(("node", "status"), [("job:999999999999999999999", 404), ("job:x", 422), ("job:", 422)])
def test_it_refuses_what_is_no_job(api, world, node, status):
    assert api("alice").get("/api/v1/lineage", {"node": node}).status_code == status


def test_a_client_on_a_stale_version_is_stale_where_one_looks_from_it(api, served):
    assert ask(api("alice"), "client:health/st-olaf")[0]["client:health/st-olaf"] == "fresh"
    make_base_version(change="weights")
    assert ask(api("alice"), "client:health/st-olaf")[0]["client:health/st-olaf"] == "stale"


def test_a_client_is_stale_by_any_of_its_slots(api, served, world):
    fresh = make_version(world.health, "other", base=make_base_version(change="weights"))
    client = served.adapter.team.clients.get(name="st-olaf")
    target = Target(fresh.adapter, version=fresh)
    assignments.assign(by=SYSTEM, client=client, slot="notes", target=target, reason="")
    assert ask(api("alice"), "adapter:health/other@1")[0]["client:health/st-olaf"] == "stale"


def test_it_keeps_every_edge_between_what_it_shows(api, world, store):
    """Both ends of the last edge are two steps away, by two ways."""
    dataset = make_dataset_version(world.health)
    make_version(world.health, base=make_base_version(), dataset_version=dataset)
    make_version(world.health, base=make_base_version(change="weights"), dataset_version=dataset)
    _, edges = ask(api("alice"), "adapter:health/triage@1", depth=2)
    assert ("base:llama@2", "adapter:health/triage@2") in edges


def test_it_shows_the_base_before_one_that_nothing_stands_on(api, served):
    make_base_version(change="weights")
    _, edges = ask(api("alice"), "base:llama@2", direction="up")
    assert edges == {("base:llama@1", "base:llama@2")}


def test_a_version_that_nothing_reaches_is_unused_not_fresh(api, served, world):
    new = make_version(world.health, base=served.base_version)
    make_base_version(change="weights")
    states, _ = ask(api("alice"), "base:llama@1")
    assert (states["adapter:health/triage@1"], states[f"adapter:{new.address}"]) == ("stale", "unused")
    assert ask(api("alice"), f"adapter:{new.address}")[0][f"adapter:{new.address}"] == "unused"


def test_a_version_in_reserve_on_the_current_base_is_fresh(api, served, world):
    new = make_version(world.health, base=served.base_version)
    assert ask(api("alice"), "base:llama@1")[0][f"adapter:{new.address}"] == "fresh"
