from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import PromotionState, Role
from registry.errors import Conflict
from registry.models import Alias, AuditEvent, Freeze, Job, Promotion
from registry.services import aliases, assignments, campaigns, clients, promotions, teams, training
from tests.make import make_engine, make_version
from tests.registry.campaigns import RECIPE, train

FREEZES = "/api/v1/freezes"
ALIAS = "/api/v1/adapters/health/triage/aliases/production"


def later(hours=1):
    return (timezone.now() + timedelta(hours=hours)).isoformat()


def freeze(caller, **body):
    wish = {"team": "health", "reason": "audit week", "until": later(), **body}
    return caller.post(FREEZES, wish, format="json")


def promote(caller, version=2, **body):
    return caller.put(ALIAS, {"version": version, "reason": "r", **body}, format="json")


@pytest.fixture
def versions(world, store):
    one, two = make_version(world.health), make_version(world.health)
    aliases.move(by=SYSTEM, adapter=one.adapter, name="production", version=one, reason="")
    return one, two


@pytest.fixture
def waiting(world, versions):
    """A promotion that waits for an engine."""
    client = clients.create(by=SYSTEM, team=world.health, name="st-olaf", vertical="")
    target = assignments.Target(versions[0].adapter, alias=Alias.objects.get())
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    alice = world.by("alice")
    aliases.move(by=alice, adapter=versions[0].adapter, name="production", version=versions[1], reason="")
    return Promotion.objects.get()


def test_it_refuses_a_move_and_says_who_why_and_until_when(api, versions):
    made = freeze(api("alice")).json()
    refused = promote(api("alice"))
    assert (refused.status_code, refused.json()["code"]) == (409, "frozen")
    for word in ("audit week", made["by"], made["until"][:10]):
        assert word in refused.json()["detail"]


@pytest.mark.parametrize("act", ["create", "delete"])
def test_it_neither_makes_nor_deletes_an_alias(api, versions, act):
    freeze(api("alice"))
    alice, other = api("alice"), ALIAS.replace("production", "other")
    answer = alice.delete(ALIAS) if act == "delete" else alice.put(other, {"version": 1}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "frozen")


def test_it_moves_again_once_lifted(api, versions):
    made = freeze(api("alice")).json()
    lifted = api("alice").post(f"{FREEZES}/{made['id']}/lift", {"reason": "done"}, format="json")
    assert lifted.json()["lifted_by"] == made["by"]
    assert promote(api("alice")).status_code == 200


def test_it_ends_by_itself(api, versions, world):
    past = timezone.now() - timedelta(seconds=1)
    Freeze.objects.create(team=world.health, reason="r", until=past, actor="a")
    assert promote(api("alice")).status_code == 200


def test_a_waiting_promotion_waits_on(api, waiting, versions):
    freeze(api("alice"))
    make_engine(*versions)
    assert promotions.advance() == 0
    waiting.refresh_from_db()
    assert waiting.state == PromotionState.WAITING


def test_a_waiting_promotion_moves_after_it(api, waiting, versions):
    made = freeze(api("alice")).json()
    api("alice").post(f"{FREEZES}/{made['id']}/lift", {}, format="json")
    make_engine(*versions)
    assert promotions.advance() == 1


def test_an_owner_forces_back_what_was_there_before(api, versions):
    promote(api("alice"))
    made = freeze(api("alice")).json()
    assert promote(api("alice"), version=1).json()["code"] == "frozen"
    assert promote(api("alice"), version=1, force=True).status_code == 200
    moved = AuditEvent.objects.filter(action="alias.move").last()
    assert str(moved.after["despite_freeze"]) == made["id"]


def test_an_owner_forces_nothing_new(api, versions):
    freeze(api("alice"))
    assert promote(api("alice"), force=True).json()["code"] == "frozen"


def test_a_maintainer_forces_nothing(api, versions, world):
    promote(api("alice"))
    freeze(api("alice"))
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.MAINTAINER)
    back = {"adapter": versions[0].adapter, "name": "production", "version": versions[0], "reason": ""}
    with pytest.raises(Conflict, match="froze"):
        aliases.move(by=world.by("erin"), force=True, **back)


def test_an_installations_freeze_holds_for_every_team(api, versions, world):
    assert freeze(api("alice"), team=None).status_code == 403
    assert freeze(api("admin"), team=None).status_code == 201
    assert promote(api("alice")).json()["code"] == "frozen"


def test_an_owner_does_not_get_past_the_installations_freeze(api, versions):
    promote(api("alice"))
    freeze(api("admin"), team=None)
    assert promote(api("alice"), version=1, force=True).json()["code"] == "frozen"
    assert promote(api("admin"), version=1, force=True).status_code == 200


def test_another_teams_freeze_holds_nothing_here(api, versions):
    assert freeze(api("charlie"), team="finance").status_code == 201
    assert promote(api("alice")).status_code == 200


def test_a_campaign_promotes_nothing(world, versions, api):
    campaign = campaigns.create(by=SYSTEM, adapters=[versions[0].adapter])
    type(campaign).objects.update(state="review")
    freeze(api("alice"))
    answer = api("alice").post(f"/api/v1/campaigns/{campaign.pk}/promote", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "frozen")


def test_a_job_runs_and_its_version_waits_to_be_promoted(api, stale, tmp_path):
    freeze(api("alice"))
    before = Alias.objects.get().version
    data = before.dataset_version
    wish = training.Request(adapter=before.adapter, dataset=data, recipe=RECIPE, promote_to="production")
    job = training.submit(by=SYSTEM, request=wish)
    train(job, tmp_path)
    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.training.gate_result["promotion"][:7]) == ("succeeded", "refused")
    assert Alias.objects.get().version == before


def test_it_lists_those_that_hold(api, versions):
    one, two = freeze(api("alice")).json(), freeze(api("admin"), team=None).json()
    api("alice").post(f"{FREEZES}/{one['id']}/lift", {}, format="json")
    found = api("alice").get(FREEZES, {"active": "true"}).json()["results"]
    assert [row["id"] for row in found] == [two["id"]]
    assert len(api("alice").get(FREEZES).json()["results"]) == 2


def test_it_is_lifted_once(api, versions):
    made = freeze(api("alice")).json()
    path = f"{FREEZES}/{made['id']}/lift"
    assert api("alice").post(path, {}, format="json").status_code == 200
    assert api("alice").post(path, {}, format="json").status_code == 409


@pytest.mark.parametrize("body", [{"until": "2020-01-01T00:00:00Z"}, {"reason": ""}, {"until": "soon"}])
def test_it_refuses_a_freeze_without_reason_or_end(api, versions, body):
    assert freeze(api("alice"), **body).status_code == 422


def test_it_is_missing_for_another_team(api, versions):
    made = freeze(api("alice")).json()
    charlie = api("charlie")
    assert freeze(charlie).status_code == 404
    assert charlie.post(f"{FREEZES}/{made['id']}/lift", {}, format="json").status_code == 404
    assert charlie.get(FREEZES).json()["results"] == []


def test_a_viewer_only_looks(api, versions):
    made = freeze(api("alice")).json()
    assert freeze(api("bob")).status_code == 403
    assert api("bob").post(f"{FREEZES}/{made['id']}/lift", {}, format="json").status_code == 403
    assert len(api("bob").get(FREEZES).json()["results"]) == 1
