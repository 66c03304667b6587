"""Protected aliases: who may move them, on which numbers, and with whose approval."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import JobKind, JobState, Role, Split
from registry.errors import PreconditionFailed
from registry.models import Alias, Approval, AuditEvent, Evaluation, Job, Promotion, ServingInstance
from registry.services import aliases, assignments, clients, promotions, teams, tokens
from registry.services.assignments import Target
from tests.make import make_dataset_version, make_version
from tests.world import token

ALIASES = "/api/v1/adapters/health/triage/aliases"
PRODUCTION = f"{ALIASES}/production"
PROTECTION = f"{PRODUCTION}/protection"
APPROVALS = f"{PRODUCTION}/approvals"
GATE = [{"metric": "loss", "op": "<=", "relative_to": "production"}, {"metric": "loss", "op": "<=", "value": 3}]


@pytest.fixture
def versions(world, store):
    """Two versions of one dataset, production on the first."""
    notes = make_dataset_version(world.health)
    made = [make_version(world.health, dataset_version=notes) for _ in range(2)]
    aliases.move(by=SYSTEM, adapter=made[0].adapter, name="production", version=made[0], reason="first")
    return made


@pytest.fixture
def people(world):
    """Alice and the administrator own health; Erin is a maintainer from here on."""
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.MAINTAINER)

    def signed_in(name):
        client = Client()
        client.force_login(getattr(world, name), backend="django.contrib.auth.backends.ModelBackend")
        return client

    return signed_in


def protect(api, who="alice", **parts):
    return api(who).put(PROTECTION, parts, format="json")


def move(client, version=2, *, match=None, alias="production", **body):
    headers = {"HTTP_IF_MATCH": match or client.get(f"{ALIASES}/{alias}")["ETag"]}
    body = {"version": version, "reason": "r", **body}
    return client.put(f"{ALIASES}/{alias}", body, content_type="application/json", **headers)


def approve(client, version=2):
    return client.post(APPROVALS, {"version": version}, content_type="application/json")


def measure(version, loss, *, subject="new", tokens=100, dataset=None):
    """As an evaluation job leaves it."""
    job = Job.objects.create(kind=JobKind.EVALUATE, team=version.adapter.team, payload={})
    return Evaluation.objects.create(
        job=job,
        adapter_version=None if subject == "base" else version,
        on_base=version.base_version,
        dataset_version=dataset or version.dataset_version,
        split=Split.TEST,
        loss=loss,
        rows=2,
        tokens=tokens,
        state=JobState.SUCCEEDED,
    )


def hang_a_client_on(world, version):
    alias = Alias.objects.get(name="production", deleted_at__isnull=True)
    client = clients.create(by=SYSTEM, team=world.health, name="st-olaf", vertical="")
    target = Target(version.adapter, alias=alias)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")


def engine_with(version):
    entry = {"version": version.pk, "address": version.address, "digest": version.manifest_id}
    defaults = {"base_version": version.base_version, "loaded": [entry], "last_tick": timezone.now()}
    ServingInstance.objects.update_or_create(url="http://127.0.0.1:1", defaults=defaults)


# The protection itself


def test_it_is_set_shown_and_taken_away(api, versions):
    set_ = protect(api, role="owner", gate=GATE, approvals_required=2).json()["protection"]
    assert set_ == {"role": "owner", "gate": GATE, "approvals_required": 2}
    assert api("bob").get(PRODUCTION).json()["protection"] == set_
    assert protect(api, role="", gate=[]).json()["protection"] == {"role": "", "gate": [], "approvals_required": 2}
    events = AuditEvent.objects.filter(action="alias.protect", object="alias:health/triage@production")
    assert events.latest("pk").before == {"protected_role": "owner", "protected_gate": GATE}


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("erin", 403), ("charlie", 404), (None, 401)])
def test_only_owners_protect(api, versions, who, status):
    assert protect(api, who, approvals_required=1).status_code == status
    assert not Alias.objects.get().protected


def test_a_token_needs_admin_to_protect(api, versions, world):
    client = api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(world, 'alice', world.health, 'read', 'publish')}")
    assert client.put(PROTECTION, {"role": "owner"}, format="json").json()["code"] == "missing_scope"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"role": "king"}, "role"),
        ({"approvals_required": -1}, "approvals_required"),
        ({"gate": [{"metric": "beauty", "op": "<=", "value": 1}]}, "gate[0].metric"),
    ],
)
def test_it_refuses_a_protection_that_makes_no_sense(api, versions, wrong, param):
    answer = protect(api, **wrong)
    assert (answer.status_code, answer.json()["param"]) == (422, param)


def test_what_is_not_there_cannot_be_protected(api, versions):
    assert api("alice").put(f"{ALIASES}/none/protection", {"role": "owner"}, format="json").status_code == 404


# If-Match


def test_a_protected_alias_is_moved_on_a_condition_only(api, people, versions):
    protect(api, role="maintainer")
    body = {"version": 2}
    answer = api("alice").put(PRODUCTION, body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")
    assert api("alice").delete(PRODUCTION).status_code == 428
    assert move(people("alice"), match='"old"').status_code == 412
    assert move(people("alice")).json()["version"] == 2


def test_a_condition_is_asked_of_the_alias_under_its_lock(world, versions):
    def expected(alias):
        assert (alias.version_id, connection.in_atomic_block) == (versions[0].pk, True)
        raise PreconditionFailed("it was read before")

    with pytest.raises(PreconditionFailed):
        aliases.move(
            by=world.by("alice"), adapter=versions[0].adapter, name="production", version=versions[1], reason="",
            expected=expected,
        )  # fmt: skip
    assert Alias.objects.get(name="production").version_id == versions[0].pk


# Role


def test_it_takes_the_role(api, people, versions):
    protect(api, role="owner")
    assert move(people("erin")).json()["code"] == "protected"
    assert move(people("alice")).status_code == 200


@pytest.mark.parametrize(("scopes", "status"), [(["publish"], 403), (["publish", "admin"], 200)])
def test_a_token_counts_as_its_scopes_allow(api, world, versions, scopes, status):
    protect(api, role="owner")
    client = api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(world, 'alice', world.health, 'read', *scopes)}")
    match = client.get(PRODUCTION)["ETag"]
    assert client.put(PRODUCTION, {"version": 2}, format="json", HTTP_IF_MATCH=match).status_code == status


def test_a_protected_alias_is_deleted_by_its_role_and_without_gate_or_approvals(api, people, versions):
    protect(api, role="owner", approvals_required=1)
    match = people("erin").get(PRODUCTION)["ETag"]
    assert people("erin").delete(PRODUCTION, HTTP_IF_MATCH=match).status_code == 403
    assert people("alice").delete(PRODUCTION, HTTP_IF_MATCH=match).json()["code"] == "protected"
    match = protect(api, approvals_required=0)["ETag"]
    assert people("alice").delete(PRODUCTION, HTTP_IF_MATCH=match).status_code == 204


# Gate


def test_a_move_that_meets_its_gate_says_so_in_the_audit(api, people, versions):
    protect(api, gate=GATE)
    measure(versions[0], 2.5), measure(versions[1], 2.0)
    assert move(people("alice")).status_code == 200
    rules = AuditEvent.objects.get(action="alias.move").after["gate"]
    assert [(rule["left"], rule["right"]) for rule in rules] == [(2.0, 2.5), (2.0, 3)]


@pytest.mark.parametrize("force", [False, True])
def test_a_worse_version_is_refused_rule_by_rule(api, people, versions, force):
    protect(api, gate=GATE)
    measure(versions[0], 1.5), measure(versions[1], 2.0)
    answer = move(people("alice"), force=force)
    assert (answer.status_code, answer.json()["code"]) == (409, "gate_not_met")
    assert [rule["passed"] for rule in answer.json()["verdict"]["rules"]] == [False, True]
    assert [error["param"] for error in answer.json()["errors"]] == ["gate[0]"]
    assert api("alice").get(PRODUCTION).json()["version"] == 1


def test_it_names_the_evaluation_that_is_missing(api, people, versions):
    protect(api, gate=[*GATE, {"metric": "loss", "op": "<", "relative_to": "base"}])
    measure(versions[1], 2.0)
    answer = move(people("alice")).json()
    assert answer["code"] == "gate_not_met"
    for word in (
        "health/triage@1, llama@1",
        "POST /api/v1/evaluations",
        '"health/notes@1"',
        '"on_base": "llama@1"',
    ):
        assert word in answer["detail"]


def test_numbers_that_were_read_otherwise_do_not_count(api, people, versions):
    protect(api, gate=GATE)
    measure(versions[0], 9.0, tokens=50), measure(versions[1], 2.0)
    assert "Not measured on the test split: health/triage@1." in move(people("alice")).json()["detail"]


def test_another_dataset_is_no_way_round_the_gate(api, people, versions, world):
    protect(api, gate=[{"metric": "loss", "op": "<=", "value": 3}])
    measure(versions[1], 9.0)
    measure(versions[1], 0.1, dataset=make_dataset_version(world.health, "easy"))
    assert move(people("alice")).json()["verdict"]["rules"][0]["left"] == 9.0


def test_nothing_is_to_beat_where_production_is_quarantined(api, people, versions):
    protect(api, gate=GATE)
    measure(versions[1], 2.0)
    api("alice").post("/api/v1/adapters/health/triage/versions/1/quarantine", {}, format="json")
    assert move(people("alice")).status_code == 200


# Approvals


def test_it_takes_a_second_person(api, people, versions):
    protect(api, approvals_required=1)
    answer = move(people("alice"))
    assert (answer.status_code, answer.json()["code"]) == (409, "approvals_missing")
    assert "admin@example.org, erin@example.org" in answer.json()["detail"]
    assert answer.json()["approvals"] == {"required": 1, "given": 0, "missing": 1}
    assert approve(people("erin")).status_code == 201
    assert move(people("alice")).status_code == 200
    assert AuditEvent.objects.get(action="alias.move").after["approved_by"] == ["erin@example.org"]


def test_who_moves_cannot_approve_its_own_move(api, people, versions, world):
    protect(api, approvals_required=1)
    assert approve(people("alice")).status_code == 201
    assert move(people("alice")).json()["code"] == "approvals_missing"
    client = api("alice")  # neither with a token of her own
    answer = client.put(PRODUCTION, {"version": 2}, format="json", HTTP_IF_MATCH=client.get(PRODUCTION)["ETag"])
    assert answer.json()["code"] == "approvals_missing"
    assert move(people("erin")).status_code == 200


def test_a_person_counts_once(api, people, versions):
    protect(api, approvals_required=2)
    approve(people("erin"))
    assert approve(people("erin")).json()["code"] == "already_approved"
    assert move(people("alice")).json()["approvals"]["missing"] == 1
    approve(people("admin"))
    assert move(people("alice")).status_code == 200


def test_a_token_cannot_approve(api, versions):
    protect(api, approvals_required=1)
    answer = api("admin").post(APPROVALS, {"version": 2}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (403, "person_required")


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404)])
def test_only_who_may_move_may_approve(api, people, versions, who, status):
    protect(api, approvals_required=1)
    assert approve(people(who)).status_code == status
    assert people(who).get(APPROVALS).status_code == (200 if who == "bob" else 404)


def test_a_maintainer_cannot_approve_what_takes_an_owner(api, people, versions):
    protect(api, approvals_required=1, role="owner")
    assert approve(people("erin")).json()["code"] == "protected"


def test_an_approval_is_for_one_version_and_one_move(api, people, versions, world):
    protect(api, approvals_required=1)
    make_version(world.health)
    approve(people("erin"))
    assert move(people("alice"), 3).json()["code"] == "approvals_missing"
    assert move(people("alice"), 2).status_code == 200
    protect(api, approvals_required=0)
    move(people("alice"), 1)
    protect(api, approvals_required=1)
    assert move(people("alice"), 2).json()["code"] == "approvals_missing"
    (row,) = api("bob").get(APPROVALS).json()["results"]
    assert (row["version"], row["manifest_sha256"]) == (2, versions[1].manifest_sha256)
    assert (row["approved_by"], row["used_at"] is None) == ("erin@example.org", False)


def test_its_giver_takes_an_approval_back(api, people, versions):
    protect(api, approvals_required=1)
    given = approve(people("erin")).json()
    one = f"{APPROVALS}/{given['id']}"
    assert api("alice").delete(one).json()["code"] == "person_required"
    assert people("alice").delete(one).json()["code"] == "anothers_approval"
    assert people("erin").delete(one).status_code == 204
    assert people("erin").delete(one).json()["code"] == "approval_over"
    assert move(people("alice")).json()["code"] == "approvals_missing"
    assert people("alice").get(APPROVALS).json()["results"][0]["withdrawn_at"] is not None
    event = AuditEvent.objects.get(action="alias.withdraw_approval")
    assert (event.actor, event.before["version"]) == ("erin@example.org", 2)


def test_what_was_withdrawn_may_be_given_again_and_what_was_used_stays_used(api, people, versions):
    protect(api, approvals_required=1)
    people("erin").delete(f"{APPROVALS}/{approve(people('erin')).json()['id']}")
    again = approve(people("erin")).json()
    assert move(people("alice")).status_code == 200
    assert people("erin").delete(f"{APPROVALS}/{again['id']}").json()["code"] == "approval_over"
    assert people("erin").delete(f"{APPROVALS}/999").status_code == 404


def test_the_approval_of_somebody_who_left_does_not_count(api, people, versions, world):
    protect(api, approvals_required=1)
    approve(people("erin"))
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.VIEWER)
    assert move(people("alice")).json()["code"] == "approvals_missing"


def test_there_is_nothing_to_approve_without_protection(api, people, versions):
    assert approve(people("erin")).json()["code"] == "approvals_not_required"
    protect(api, approvals_required=1)
    assert approve(people("erin"), 1).json()["code"] == "points_there"
    assert approve(people("erin"), 9).status_code == 404


# Promotions that wait


@pytest.fixture
def waiting(api, people, versions, world):
    """Approved, promised, and waiting for an engine."""
    hang_a_client_on(world, versions[0])
    protect(api, approvals_required=1)
    approve(people("erin"))
    answer = move(people("alice"))
    assert answer.status_code == 202, answer.json()
    return Promotion.objects.get()


def test_a_promise_takes_the_approvals_and_uses_them_at_the_flip(api, people, versions, world):
    hang_a_client_on(world, versions[0])
    protect(api, approvals_required=1)
    assert move(people("alice")).json()["code"] == "approvals_missing"
    approve(people("erin"))
    assert move(people("alice")).status_code == 202
    assert Approval.objects.get().used_at is None
    engine_with(versions[1])
    assert promotions.advance() == 1
    assert Approval.objects.get().used_at is not None


@pytest.mark.parametrize("parts", [{"approvals_required": 2}, {"gate": GATE}])
def test_protection_that_came_after_the_promise_holds_at_the_flip(api, waiting, versions, parts):
    protect(api, **parts)
    engine_with(versions[1])
    assert promotions.advance() == 0
    waiting.refresh_from_db()
    assert (waiting.state, Alias.objects.get().version_id) == ("failed", versions[0].pk)
    assert "approval" in waiting.outcome or "gate" in waiting.outcome
    assert Approval.objects.get().used_at is None


def test_whose_role_went_moves_nothing_by_a_promise(api, people, waiting, versions, world):
    protect(api, role="owner")
    teams.set_member(by=SYSTEM, team=world.health, email=world.alice.email, role=Role.MAINTAINER)
    engine_with(versions[1])
    assert promotions.advance() == 0
    assert "takes the role owner" in Promotion.objects.get().outcome


def test_a_token_that_was_revoked_moves_nothing_by_a_promise(api, world, versions):
    hang_a_client_on(world, versions[0])
    protect(api, role="maintainer")
    client = api("alice")
    match = client.get(PRODUCTION)["ETag"]
    assert client.put(PRODUCTION, {"version": 2}, format="json", HTTP_IF_MATCH=match).status_code == 202
    prefix = world.tokens["alice"].split("_")[1]
    tokens.revoke(by=world.by("alice"), token_id=str(world.health.tokens.get(prefix=prefix).pk))
    engine_with(versions[1])
    assert promotions.advance() == 0
    assert Promotion.objects.get().state == "failed"
