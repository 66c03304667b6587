from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.errors import Conflict
from registry.models import Assignment, AuditEvent, BaseVersion, ServingInstance
from registry.selectors import routing, serving
from registry.services import aliases, assignment_moves, assignments, version_states
from tests.make import make_version

CLIENT = "/api/v1/clients/health/st-olaf"
SLOT = f"{CLIENT}/assignments/default"


@pytest.fixture
def client(api, world, store):
    api("alice").post("/api/v1/clients", {"team": "health", "name": "st-olaf"}, format="json")
    return api("alice")


@pytest.fixture
def versions(world, store):
    one, two = make_version(world.health), make_version(world.health)
    point(world, one)
    return one, two


def point(world, version, name="production"):
    return aliases.move(by=SYSTEM, adapter=version.adapter, name=name, version=version, reason="", force=True)


def assign(client, **body):
    return client.put(SLOT, {"adapter": "health/triage", "reason": "r", **body}, format="json")


def digest_at(client, at=None):
    query = {"client": "health/st-olaf", **({"at": at.isoformat()} if at else {})}
    return client.get("/api/v1/resolve", query).json()["versions"][0]["manifest_sha256"]


def test_it_assigns_by_alias_and_says_who_has_what(client, versions):
    assert assign(client, alias="production").status_code == 200
    assert digest_at(client) == versions[0].manifest_id


def test_it_follows_the_alias(client, versions, world):
    assign(client, alias="production")
    before = timezone.now()
    point(world, versions[1])
    assert digest_at(client) == versions[1].manifest_id
    assert digest_at(client, before) == versions[0].manifest_id


def test_it_says_who_brought_it_about_by_the_assignment_or_by_the_aliass_last_move(client, versions, world):
    assign(client, alias="production", reason="first contract")
    before, to = timezone.now(), {"adapter": versions[1].adapter, "version": versions[1]}
    aliases.move(by=world.by("alice"), name="production", reason="better", force=True, **to)
    told = client.get("/api/v1/resolve", {"client": "health/st-olaf"}).json()
    assert (told["actor"], told["reason"]) == (world.alice.email, "better")
    told = client.get("/api/v1/resolve", {"client": "health/st-olaf", "at": before.isoformat()}).json()
    assert (told["actor"][:6], told["reason"]) == ("token:", "first contract")


def test_it_pins_a_version(client, versions, world):
    assign(client, version=1)
    point(world, versions[1])
    assert digest_at(client) == versions[0].manifest_id


def test_it_closes_the_old_assignment_where_the_new_begins(client, versions):
    first = assign(client, version=1).json()
    second = assign(client, version=2).json()
    closed = client.get(f"{CLIENT}/timeline").json()["results"][1]
    assert (closed["id"], closed["valid_to"]) == (first["id"], second["valid_from"])


def test_it_plans_an_assignment(client, versions):
    later = timezone.now() + timedelta(hours=1)
    assign(client, version=1)
    assert assign(client, version=2, starts_at=later.isoformat()).status_code == 200
    assert digest_at(client) == versions[0].manifest_id
    assert digest_at(client, later + timedelta(seconds=1)) == versions[1].manifest_id


def test_it_replaces_a_planned_assignment(client, versions):
    later = timezone.now() + timedelta(hours=1)
    assign(client, version=1)
    assign(client, version=2, starts_at=later.isoformat())
    assign(client, version=1)
    assert digest_at(client, later + timedelta(hours=1)) == versions[0].manifest_id


def test_it_refuses_to_rewrite_the_past(client, versions):
    past = timezone.now() - timedelta(hours=1)
    answer = assign(client, version=1, starts_at=past.isoformat())
    assert (answer.status_code, answer.json()["param"]) == (422, "starts_at")


def test_it_rolls_back_and_forward_again(client, versions):
    assign(client, version=1)
    assign(client, version=2)
    assert client.post(f"{SLOT}/rollback", {"reason": "worse"}, format="json").json()["version"] == 1
    assert client.post(f"{SLOT}/rollback", {"reason": "better"}, format="json").json()["version"] == 2


def test_it_has_nothing_to_roll_back_to(client, versions):
    assign(client, version=1)
    answer = client.post(f"{SLOT}/rollback", {"reason": "x"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_before")


def test_it_ends_an_assignment(client, versions):
    assign(client, version=1)
    assert client.delete(SLOT).status_code == 204
    gone = client.get("/api/v1/resolve", {"client": "health/st-olaf"})
    assert (gone.status_code, gone.json()["code"]) == (404, "no_assignment")


def test_it_names_the_audit_event_once_it_is_sealed(client, versions):
    from registry.services import audit

    assign(client, version=1)
    audit.seal()
    seq = client.get("/api/v1/resolve", {"client": "health/st-olaf"}).json()["audit_seq"]
    event = client.get("/api/v1/audit", {"action": "assignment.set"}).json()["results"][0]
    assert (event["seq"], event["after"]["digest"]) == (seq, versions[0].manifest_id)


def test_it_lists_the_clients_of_an_adapter(client, versions):
    assign(client, alias="production")
    found = client.get("/api/v1/adapters/health/triage/clients").json()["results"]
    assert [row["client"] for row in found] == ["health/st-olaf"]


@pytest.mark.parametrize("body", [{"version": 9}, {"alias": "nope"}, {"adapter": "health/none"}, {"adapter": "x"}])
def test_it_refuses_what_does_not_exist(client, versions, body):
    assert assign(client, **body).status_code in (404, 422)


def test_it_refuses_an_alias_and_a_version_together(client, versions):
    assert assign(client, alias="production", version=1).status_code == 422


def test_it_hides_the_client_from_another_team(client, versions, api):
    for path in (CLIENT, f"{CLIENT}/keys", f"{CLIENT}/assignments", f"{CLIENT}/timeline"):
        assert api("charlie").get(path).status_code == 404
    assert api("charlie").get("/api/v1/resolve", {"client": "health/st-olaf"}).status_code == 404
    assert assign(api("charlie"), version=1).status_code == 404


def test_it_refuses_another_teams_adapter(client, versions, api, world):
    make_version(world.finance, "ledger")
    assert assign(client, adapter="finance/ledger", version=1).status_code == 404


def test_it_lets_a_viewer_only_look(client, versions, api):
    assert api("bob").get(CLIENT).status_code == 200
    assert assign(api("bob"), version=1).status_code == 403


def test_it_shows_a_key_once_and_revokes_it(client):
    made = client.post(f"{CLIENT}/keys", {"name": "prod"}, format="json").json()
    assert made["key"].startswith("plc_")
    assert client.delete(f"{CLIENT}/keys/{made['id']}").status_code == 204
    assert client.get(f"{CLIENT}/keys").json()["results"] == []


def engine_with(*versions):
    loaded = [{"version": v.pk, "address": v.address, "digest": v.manifest_id} for v in versions]
    values = {"base_version": versions[0].base_version, "loaded": loaded, "last_tick": timezone.now()}
    ServingInstance.objects.update_or_create(url="http://127.0.0.1:1", defaults=values)


@pytest.fixture
def waiting(client, versions):
    """The answer to a rollback onto version 1, which no engine holds any more."""
    assign(client, version=1)
    assign(client, version=2)
    engine_with(versions[1])
    return client.post(f"{SLOT}/rollback", {"reason": "worse"}, format="json")


def test_it_waits_for_an_engine_before_it_goes_back(client, versions, waiting):
    told = waiting.json()
    assert (waiting.status_code, told["version"], told["move"]["version"]) == (202, 2, 1)
    assert versions[0] in serving.wanted(versions[0].base_version)
    assert (assignment_moves.advance(), digest_at(client)) == (0, versions[1].manifest_id)
    engine_with(*versions)
    assert (assignment_moves.advance(), digest_at(client)) == (1, versions[0].manifest_id)
    move = client.get(f"{CLIENT}/moves/{told['move']['id']}").json()
    assert (move["state"], move["reason"]) == ("done", "moved")


def test_it_assigns_at_once_whatever_engines_hold(client, versions):
    assign(client, version=1)
    engine_with(versions[0])
    assert assign(client, version=2).status_code == 200
    assert digest_at(client) == versions[1].manifest_id


@pytest.mark.parametrize("act", ["assign", "end"])
def test_a_move_that_waits_gives_way(client, versions, waiting, act):
    assert assign(client, version=2).status_code == 200 if act == "assign" else client.delete(SLOT)
    engine_with(*versions)
    assert assignment_moves.advance() == 0
    move = client.get(f"{CLIENT}/moves/{waiting.json()['move']['id']}").json()
    assert move["state"] == "cancelled"


def test_a_move_fails_where_its_version_can_be_served_no_more(client, versions, waiting):
    BaseVersion.objects.update(status="retired")
    assert assignment_moves.advance() == 0
    move = client.get(f"{CLIENT}/moves/{waiting.json()['move']['id']}").json()
    assert (move["state"], "retired" in move["reason"]) == ("failed", True)


def test_it_waits_once_however_often_one_asks(client, versions, waiting):
    again = client.post(f"{SLOT}/rollback", {"reason": "still worse"}, format="json")
    assert (again.status_code, again.json()["move"]["id"]) == (202, waiting.json()["move"]["id"])


def test_it_hides_a_move_from_another_team(waiting, api):
    assert api("charlie").get(f"{CLIENT}/moves/{waiting.json()['move']['id']}").status_code == 404


def test_it_goes_back_at_once_from_what_can_not_be_served(client, versions, world):
    assign(client, version=1)
    assign(client, version=2)
    engine_with(versions[1])
    type(versions[1]).objects.filter(pk=versions[1].pk).update(status="quarantined")
    assert client.post(f"{SLOT}/rollback", {"reason": "x"}, format="json").status_code == 200


def test_it_ends_what_was_only_planned(client, versions):
    later = timezone.now() + timedelta(hours=1)
    assign(client, version=2, starts_at=later.isoformat())
    assert client.delete(SLOT).status_code == 204
    gone = client.get(
        "/api/v1/resolve", {"client": "health/st-olaf", "at": (later + timedelta(seconds=1)).isoformat()}
    )
    assert (gone.status_code, AuditEvent.objects.filter(action="assignment.end").count()) == (404, 1)
    assert client.delete(SLOT).status_code == 404
    version_states.archive(by=SYSTEM, version=versions[1], reason="nothing plans it any more")


def test_it_reads_the_clock_once_the_slot_is_its_own(client, versions, monkeypatch):
    assign(client, version=1)
    real, seen = assignments.lock_slot, []
    monkeypatch.setattr(assignments, "lock_slot", lambda slot: (seen.append(timezone.now()), real(slot))[1])
    assign(client, version=2)
    assert Assignment.objects.get(valid_to=None).valid_from > seen[0]


def test_it_looks_again_at_what_it_assigns(client, versions, world):
    """What ended between the reading of the request and the lock is refused."""
    by, customer = world.by("alice"), versions[0].adapter.team.clients.get(name="st-olaf")
    alias = point(world, versions[1], "candidate")
    target = assignments.Target(versions[0].adapter, alias=alias, canary_version=versions[0], canary_percent=5)
    BaseVersion.objects.filter(pk=versions[0].base_version_id).update(status="retired")
    with pytest.raises(Conflict, match="retired"):
        assignments.assign(by=by, client=customer, slot="default", target=target, reason="")
    aliases.delete(by=SYSTEM, adapter=versions[0].adapter, name="candidate")
    with pytest.raises(Conflict, match="deleted"):
        assignments.assign(by=by, client=customer, slot="default", target=target, reason="")


def test_it_ends_by_itself_at_the_time_that_was_planned(client, versions):
    until = timezone.now() + timedelta(hours=1)
    assert assign(client, version=1, ends_at=until.isoformat()).status_code == 200
    assert digest_at(client, until - timedelta(seconds=1)) == versions[0].manifest_id
    query = {"client": "health/st-olaf", "at": until.isoformat()}
    assert client.get("/api/v1/resolve", query).json()["code"] == "no_assignment"


def test_it_replaces_an_assignment_that_would_end_later(client, versions):
    until = timezone.now() + timedelta(hours=1)
    assign(client, version=1, ends_at=until.isoformat())
    assert assign(client, version=2).json()["valid_to"] is None
    assert digest_at(client, until + timedelta(hours=1)) == versions[1].manifest_id


@pytest.mark.parametrize(
    "hours", [{"ends_at": -1}, {"starts_at": 2, "ends_at": 1}, {"starts_at": 2, "ends_at": 2}]
)
def test_it_refuses_an_end_before_the_start(client, versions, hours):
    now = timezone.now()
    times = {name: (now + timedelta(hours=by)).isoformat() for name, by in hours.items()}
    answer = assign(client, version=1, **times)
    assert (answer.status_code, answer.json()["errors"][0]["param"]) == (422, "ends_at")


@pytest.fixture
def described(client):
    body = {"labels": {"tier": "gold"}, "contacts": [{"name": "Ann", "email": "ann@example.org"}]}
    return client.patch(CLIENT, {**body, "description": "A hospital."}, format="json")


def test_it_describes_a_client(client, described):
    told = client.get(CLIENT).json()
    assert (told["description"], told["labels"]) == ("A hospital.", {"tier": "gold"})
    assert told["contacts"] == [{"name": "Ann", "email": "ann@example.org"}]


def test_it_changes_only_what_is_given(client, described):
    assert client.patch(CLIENT, {"vertical": "law"}, format="json").json()["labels"] == {"tier": "gold"}
    assert client.patch(CLIENT, {"labels": {}}, format="json").json()["description"] == "A hospital."


def test_it_records_what_a_client_was_before(client, described):
    client.patch(CLIENT, {"labels": {"tier": "iron"}}, format="json")
    event = AuditEvent.objects.filter(action="client.update").last()
    assert (event.before, event.after) == ({"labels": {"tier": "gold"}}, {"labels": {"tier": "iron"}})


def test_it_refuses_a_change_of_what_was_changed_since(client, described):
    tag = client.get(CLIENT)["ETag"]
    assert client.patch(CLIENT, {"vertical": "law"}, format="json", HTTP_IF_MATCH=tag).status_code == 200
    assert client.patch(CLIENT, {"vertical": "retail"}, format="json", HTTP_IF_MATCH=tag).status_code == 412


@pytest.mark.parametrize(
    "body", [{"contacts": [{"name": "Ann", "email": "nowhere"}]}, {"contacts": [{}]}, {"labels": {"a b": "c"}}]
)
def test_it_refuses_what_is_no_contact_or_label(client, body):
    assert client.patch(CLIENT, body, format="json").status_code == 422


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"label": "tier:gold"}, 1),
        ({"label": "tier:iron"}, 0),
        ({"q": "hospital"}, 1),
        ({"q": "gold"}, 1),
        ({"q": "x"}, 0),
    ],
)
def test_it_finds_clients_by_label_and_text(client, described, query, found):
    assert len(client.get("/api/v1/clients", query).json()["results"]) == found


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
def test_it_lets_nobody_else_describe_it(client, described, api, who, status):
    assert api(who).patch(CLIENT, {"vertical": "law"}, format="json").status_code == status


def test_it_makes_a_client_with_its_description(client):
    body = {"team": "health", "name": "mercy", "labels": {"tier": "gold"}, "description": "d"}
    made = client.post("/api/v1/clients", body, format="json")
    assert (made.status_code, made.json()["labels"]) == (201, {"tier": "gold"})


def test_clients_are_listed_by_as_many_queries_for_ten_as_for_one(client, django_assert_max_num_queries):
    for name in "abcdefghij":
        client.post("/api/v1/clients", {"team": "health", "name": name, "labels": {"a": "b"}}, format="json")
    with django_assert_max_num_queries(4):
        assert len(client.get("/api/v1/clients").json()["results"]) == 11


def test_a_client_has_several_keys_with_names_and_ends(client):
    later = (timezone.now() + timedelta(days=1)).isoformat()
    client.post(f"{CLIENT}/keys", {"name": "shop"}, format="json")
    client.post(f"{CLIENT}/keys", {"name": "app", "expires_at": later}, format="json")
    found = client.get(f"{CLIENT}/keys").json()["results"]
    assert [(row["name"], row["expires_at"] is None) for row in found] == [("app", False), ("shop", True)]


def test_one_key_is_revoked_and_the_others_stay(client):
    made = [client.post(f"{CLIENT}/keys", {"name": name}, format="json").json() for name in ("a", "b")]
    assert client.delete(f"{CLIENT}/keys/{made[0]['id']}").status_code == 204
    assert [routing.client_key(key["key"]) is None for key in made] == [True, False]
