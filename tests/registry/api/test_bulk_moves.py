from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.models import Alias, Assignment, AuditEvent, BulkMove
from registry.services import aliases, assignment_moves, assignments, clients
from registry.services.assignments import Target
from tests.make import make_engine, make_version

BULK = "/api/v1/assignments/bulk"
RESTORE = "/api/v1/assignments/restore"
CODING = {"adapter": "health/coding", "alias": "production"}


@pytest.fixture
def versions(world, store):
    """triage@1, triage@2 and coding@1; production points to the first of each."""
    made = [make_version(world.health), make_version(world.health), make_version(world.health, "coding")]
    for version in (made[0], made[2]):
        point(version)
    return made


@pytest.fixture
def cast(world, versions):
    """Three clients: two on triage, one on nothing."""
    made = [clients.create(by=SYSTEM, team=world.health, name=name, vertical="") for name in ("a", "b", "c")]
    for client in made[:2]:
        put(client, Target(versions[0].adapter, alias=Alias.objects.get(version=versions[0])))
    return made


def point(version, name="production"):
    return aliases.move(by=SYSTEM, adapter=version.adapter, name=name, version=version, reason="", force=True)


def put(client, target, **when):
    return assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="r", **when)


def bulk(caller, query="", **body):
    return caller.post(BULK + query, {"team": "health", "target": CODING, "reason": "r", **body}, format="json")


def restore(caller, at, query="", **body):
    return caller.post(
        RESTORE + query, {"team": "health", "at": at.isoformat(), "reason": "r", **body}, format="json"
    )


def undo(caller, made, query=""):
    return caller.post(f"{BULK}/{made['id']}/undo{query}", {"reason": "worse"}, format="json")


def has(caller, name):
    found = caller.get("/api/v1/resolve", {"client": f"health/{name}"})
    return found.json()["versions"][0]["address"] if found.status_code == 200 else None


def everyone(caller):
    return [has(caller, name) for name in "abc"]


def told(answer):
    return [(row["client"], row["outcome"]) for row in answer.json()["moves"]]


def test_it_previews_without_a_row(api, cast):
    answer = bulk(api("alice"), "?dry_run=true")
    assert answer.json()["counts"] == {"moves": 3, "waits": 0}
    first, last = answer.json()["moves"][0], answer.json()["moves"][2]
    assert (first["client"], first["from"]["adapter"], first["to"]["adapter"]) == (
        "health/a",
        "health/triage",
        "health/coding",
    )
    assert last["from"] is None
    assert BulkMove.objects.count() == 0
    assert everyone(api("alice")) == ["health/triage@1", "health/triage@1", None]


def test_it_moves_everyone_at_once(api, cast):
    answer = bulk(api("alice"))
    assert (answer.status_code, answer.json()["counts"]) == (201, {"done": 3})
    assert everyone(api("alice")) == ["health/coding@1"] * 3


@pytest.mark.parametrize(
    ("narrowed", "moved"),
    [
        ({"clients": ["health/b"]}, ["health/b"]),
        ({"adapter": "health/triage"}, ["health/a", "health/b"]),
        ({"label": "tier:gold"}, ["health/c"]),
        ({"vertical": "law"}, ["health/a"]),
        ({"slot": "night"}, []),
        ({"clients": []}, []),
    ],
)
def test_it_moves_those_that_the_filter_names(api, cast, narrowed, moved):
    alice = api("alice")
    alice.patch("/api/v1/clients/health/c", {"labels": {"tier": "gold"}}, format="json")
    alice.patch("/api/v1/clients/health/a", {"vertical": "law"}, format="json")
    assert [client for client, _ in told(bulk(alice, "?dry_run=true", filter=narrowed))] == moved


def test_it_is_undone_by_one_call(api, cast):
    made = bulk(api("alice")).json()
    answer = undo(api("alice"), made)
    assert (answer.status_code, answer.json()["undoes"]) == (201, made["id"])
    assert everyone(api("alice")) == ["health/triage@1", "health/triage@1", None]
    assert api("alice").get(f"{BULK}/{made['id']}").json()["undone_by"] == answer.json()["id"]


def test_an_undo_is_undone_too(api, cast):
    back = undo(api("alice"), bulk(api("alice")).json()).json()
    assert undo(api("alice"), back).status_code == 201
    assert everyone(api("alice")) == ["health/coding@1"] * 3


def test_it_is_undone_once(api, cast):
    made = bulk(api("alice")).json()
    undo(api("alice"), made)
    again = undo(api("alice"), made)
    assert (again.status_code, again.json()["code"]) == (409, "undone")


def test_an_undo_leaves_what_was_moved_on_since(api, cast, versions):
    made = bulk(api("alice")).json()
    put(cast[0], Target(versions[1].adapter, version=versions[1]))
    assert told(undo(api("alice"), made, "?dry_run=true"))[0] == ("health/a", "stays")
    undo(api("alice"), made)
    assert everyone(api("alice")) == ["health/triage@2", "health/triage@1", None]


def test_one_that_can_not_move_holds_all(api, cast, versions):
    later = timezone.now() + timedelta(hours=1)
    put(cast[1], Target(versions[1].adapter, version=versions[1]), starts_at=later)
    answer = bulk(api("alice"))
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
    assert [fault["param"] for fault in answer.json()["errors"]] == ["health/b/default"]
    assert everyone(api("alice"))[0] == "health/triage@1"


def test_it_moves_nothing_twice(api, cast):
    bulk(api("alice"))
    again = bulk(api("alice"))
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_move")


def test_it_records_each_slot_and_the_whole(api, cast):
    made = bulk(api("alice")).json()
    assert AuditEvent.objects.filter(action="assignment.set", reason="r", object__endswith="default").count() == 5
    event = AuditEvent.objects.get(action="bulk_move.create")
    assert (event.object, event.after["moves"]) == (f"bulk_move:{made['id']}", 3)


def test_it_says_why_the_target_can_not_be_served(api, cast, versions):
    type(versions[1]).objects.filter(pk=versions[1].pk).update(status="quarantined")
    answer = bulk(api("alice"), target={"adapter": "health/triage", "version": 2})
    assert (answer.status_code, answer.json()["code"]) == (409, "version_not_ready")


@pytest.fixture
def waiting(api, cast, versions):
    """A bulk move of clients that an engine answers, to a version that none has."""
    make_engine(versions[0])
    return bulk(api("alice"), filter={"adapter": "health/triage"})


def test_it_waits_for_an_engine(api, waiting, versions):
    assert (waiting.status_code, waiting.json()["counts"]) == (202, {"waiting": 2})
    assert (assignment_moves.advance(), everyone(api("alice"))[0]) == (0, "health/triage@1")
    make_engine(versions[0], versions[2])
    assert (assignment_moves.advance(), everyone(api("alice"))[0]) == (2, "health/coding@1")


def test_an_undo_withdraws_what_still_waits(api, waiting, versions):
    assert undo(api("alice"), waiting.json()).status_code == 201
    make_engine(versions[0], versions[2])
    assert (assignment_moves.advance(), everyone(api("alice"))[0]) == (0, "health/triage@1")


def test_an_undo_brings_back_what_waited_and_came(api, waiting, versions):
    make_engine(versions[0], versions[2])
    assignment_moves.advance()
    assert undo(api("alice"), waiting.json()).status_code == 201
    assert everyone(api("alice"))[:2] == ["health/triage@1"] * 2


def test_it_goes_back_to_a_moment(api, cast, versions):
    then = timezone.now()
    point(versions[1])
    put(cast[1], Target(versions[2].adapter, version=versions[2]))
    assert everyone(api("alice")) == ["health/triage@2", "health/coding@1", None]
    assert restore(api("alice"), then).status_code == 201
    assert everyone(api("alice")) == ["health/triage@1", "health/triage@1", None]


def test_it_pins_only_where_the_alias_has_moved(api, cast, versions):
    then = timezone.now()
    put(cast[1], Target(versions[2].adapter, version=versions[2]))
    (moved,) = (
        row for row in restore(api("alice"), then, "?dry_run=true").json()["moves"] if row["outcome"] == "moves"
    )
    assert (moved["client"], moved["to"]["alias"], moved["to"]["version"]) == ("health/b", "production", None)


def test_going_back_is_undone_by_one_call(api, cast, versions):
    then = timezone.now()
    point(versions[1])
    made = restore(api("alice"), then).json()
    undo(api("alice"), made)
    assert everyone(api("alice"))[:2] == ["health/triage@2"] * 2
    assert Assignment.objects.filter(valid_to__isnull=True, alias__isnull=False).count() == 2


def test_it_refuses_to_go_back_to_what_can_not_be_served(api, cast, versions):
    then = timezone.now()
    point(versions[1])
    type(versions[0]).objects.filter(pk=versions[0].pk).update(status="quarantined")
    answer = restore(api("alice"), then)
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
    assert "quarantined" in answer.json()["errors"][0]["message"]


def test_who_had_nothing_then_stays(api, cast, versions):
    before = Assignment.objects.earliest("valid_from").valid_from - timedelta(seconds=1)
    assert set(told(restore(api("alice"), before, "?dry_run=true"))) == {
        ("health/a", "stays"),
        ("health/b", "stays"),
    }


def test_it_goes_back_for_those_that_are_named(api, cast, versions):
    then = timezone.now()
    point(versions[1])
    assert restore(api("alice"), then, clients=["health/b"]).status_code == 201
    assert everyone(api("alice"))[:2] == ["health/triage@2", "health/triage@1"]


def test_it_does_not_go_to_the_future(api, cast):
    answer = restore(api("alice"), timezone.now() + timedelta(hours=1))
    assert (answer.status_code, answer.json()["param"]) == (422, "at")


def test_it_is_missing_for_another_team(api, cast):
    made, charlie = bulk(api("alice")).json(), api("charlie")
    assert bulk(charlie).status_code == 404
    assert restore(charlie, timezone.now()).status_code == 404
    assert undo(charlie, made).status_code == 404
    assert charlie.get(f"{BULK}/{made['id']}").status_code == 404
    assert charlie.get(BULK).json()["results"] == []


@pytest.mark.parametrize(
    "body", [{"filter": {"clients": ["health/a"]}}, {"filter": {"adapter": "health/triage"}}, {"target": CODING}]
)
def test_it_names_nothing_of_another_team(api, cast, world, body):
    make_version(world.finance, "ledger")
    own = {"adapter": "finance/ledger", "version": 1}
    assert bulk(api("charlie"), team="finance", **{"target": own, **body}).status_code == 404


def test_a_viewer_moves_nobody(api, cast):
    made = bulk(api("alice")).json()
    assert bulk(api("bob")).status_code == 403
    assert restore(api("bob"), timezone.now()).status_code == 403
    assert undo(api("bob"), made).status_code == 403
    assert api("bob").get(f"{BULK}/{made['id']}").status_code == 200


def test_a_plan_asks_as_much_for_three_clients_as_for_one(api, cast, world, django_assert_max_num_queries):
    with django_assert_max_num_queries(PLAN):
        bulk(api("alice"), "?dry_run=true", filter={"clients": ["health/a"]})
    for name in "defghij":
        clients.create(by=SYSTEM, team=world.health, name=name, vertical="")
    with django_assert_max_num_queries(PLAN):
        bulk(api("alice"), "?dry_run=true")


PLAN = 25


def test_it_lists_what_was_moved(api, cast):
    made = bulk(api("alice")).json()
    (row,) = api("alice").get(BULK, {"team": "health"}).json()["results"]
    assert (row["id"], row["wish"]["target"]["adapter"]) == (made["id"], "health/coding")
