"""What protects an alias holds for campaigns and for training jobs that promote."""

from __future__ import annotations

import pytest
from django.test import Client

from registry.access import SYSTEM
from registry.choices import Role
from registry.models import Alias, AuditEvent, JobEvent, TrainingSpec
from registry.services import aliases, approvals, campaign_steps, promotions, teams, training
from tests.registry.api import test_campaigns
from tests.registry.campaigns import CAMPAIGNS, GOOD, RECIPE, engines_hold, run_to_review, train

promoting = test_campaigns.promoting
STRICT = [{"metric": "loss", "op": "<=", "value": 0.5}]


def protect(world, adapter, **parts):
    return aliases.protect(by=world.by("alice"), adapter=adapter, name="production", **parts)


def approve(world, adapter, number):
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.MAINTAINER)
    version = adapter.versions.get(number=number)
    approvals.approve(by=world.by("erin"), adapter=adapter, name="production", version=version)


@pytest.mark.parametrize("parts", [{"approvals_required": 1}, {"gate": STRICT}])
def test_an_item_whose_alias_is_protected_stays_passed_with_the_reason(api, stale, tmp_path, world, parts):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    protect(world, stale, **parts)
    answer = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote")
    item = answer.json()["items"][0]
    assert (answer.status_code, item["state"]) == (202, "passed")
    assert item["reason"].startswith("not promoted: production takes")
    assert AuditEvent.objects.get(action="campaign.promote").after["promoted"] == []


def test_it_promotes_once_it_was_approved(api, stale, tmp_path, world):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    protect(world, stale, approvals_required=1, gate=[{"metric": "loss", "op": "<", "relative_to": "base"}])
    approve(world, stale, 2)
    promoted = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote").json()
    assert (promoted["items"][0]["state"], promoted["items"][0]["reason"]) == ("promoting", "")
    campaign_steps.advance()
    assert api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["state"] == "completed"


def test_an_alias_that_was_protected_after_the_promise_stays(api, promoting, stale, world):
    protect(world, stale, gate=STRICT)
    engines_hold(stale.versions.get(number=2))
    assert promotions.advance() == 0
    campaign_steps.advance()
    item = api("alice").get(promoting).json()["items"][0]
    assert (item["state"], item["reason"].startswith("not promoted: production takes a gate")) == ("passed", True)


def test_a_rollback_is_refused_where_nothing_may_move(api, stale, tmp_path, world):
    campaign = run_to_review(api("alice"), tmp_path, **GOOD)
    api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/promote")
    campaign_steps.advance()
    protect(world, stale, approvals_required=1)
    answer = api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/rollback")
    assert (answer.status_code, answer.json()["code"]) == (409, "approvals_missing")
    assert api("alice").get(f"{CAMPAIGNS}/{campaign['id']}").json()["state"] == "completed"
    approve(world, stale, 1)
    assert api("alice").post(f"{CAMPAIGNS}/{campaign['id']}/rollback").status_code == 202
    assert Alias.objects.get().version.number == 1


def test_a_training_job_succeeds_where_its_promotion_is_refused(stale, tmp_path, world):
    protect(world, stale, approvals_required=1)
    request = training.Request(
        adapter=stale, dataset=stale.versions.get().dataset_version, recipe=RECIPE, promote_to="production"
    )
    job = training.submit(by=world.by("alice"), request=request)
    version = train(job, tmp_path)
    job.refresh_from_db()
    assert (job.state, version.status, Alias.objects.get().version.number) == ("succeeded", "ready", 1)
    assert (
        TrainingSpec.objects.get(job=job)
        .gate_result["promotion"]
        .startswith("refused: production takes 1 approval")
    )
    assert JobEvent.objects.get(job=job, kind="warning").data["code"] == "approvals_missing"
    assert AuditEvent.objects.get(action="promotion.refused").on_behalf_of == "alice@example.org"


def test_a_job_that_may_not_promote_is_refused_when_it_is_asked_for(api, stale, world):
    protect(world, stale, role="owner")
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.MAINTAINER)
    client = Client()
    client.force_login(world.erin, backend="django.contrib.auth.backends.ModelBackend")
    body = {"adapter": "health/triage", "dataset": "health/notes@1", "promote_to": "production"}
    answer = client.post("/api/v1/training-jobs", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "protected")
