"""Campaigns that start by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.models import AuditEvent, BaseVersion, Campaign, Job
from registry.services import auto_retrain, base_models, campaign_steps, campaigns, teams, waivers
from tests.make import make_base_version

NOT_WORSE = {"metric": "bits_per_byte", "op": "<=", "relative_to": "production"}


@pytest.fixture
def draft(world, stale):
    """A draft of llama@3; health, whose adapter stands on llama@1, retrains by itself."""
    teams.update(by=world.by("alice"), team=world.health, auto_retrain=True, auto_retrain_gate=[NOT_WORSE])
    return make_base_version(status="draft", change="weights")


def activate(world, version):
    return base_models.activate(by=world.by("admin"), version=version, reason="better")


def test_an_activation_starts_a_campaign_of_the_team_that_wants_it(world, draft):
    activate(world, draft)
    campaign = Campaign.objects.get()
    assert (campaign.team, campaign.state, campaign.target) == (world.health, "running", draft)
    assert (campaign.asked_by, campaign.gate, campaign.created_by) == ("admin@example.org", [NOT_WORSE], None)
    assert [item.adapter.name for item in campaign.items.all()] == ["triage"]
    campaign_steps.advance()
    assert Job.objects.get(state="queued").training.base_version == draft


def test_it_is_recorded_as_the_systems_on_behalf_of_who_activated(world, draft):
    activate(world, draft)
    event = AuditEvent.objects.get(action="campaign.start")
    assert (event.actor, event.on_behalf_of, event.team) == ("system", "admin@example.org", world.health)


def test_activating_again_starts_nothing_twice(world, draft):
    activate(world, draft)
    activate(world, draft)
    assert Campaign.objects.count() == 1


def test_a_team_that_did_not_ask_gets_none(world, draft):
    teams.update(by=world.by("alice"), team=world.health, auto_retrain=False)
    activate(world, draft)
    assert not Campaign.objects.exists()


def test_what_is_waived_is_left_alone(world, draft, stale):
    until = timezone.now() + timedelta(days=1)
    waivers.waive(by=SYSTEM, version=stale.versions.get(), reason="pinned", until=until)
    activate(world, draft)
    assert not Campaign.objects.exists()


def test_a_campaign_that_can_not_be_made_does_not_stop_the_activation(world, draft, monkeypatch):
    teams.update(by=world.by("alice"), team=world.health, auto_retrain_gate=[])
    world.health.auto_retrain_gate = [{"metric": "beauty", "op": "<=", "value": 1}]
    world.health.save()  # a rule of an older release that no longer makes sense
    activate(world, draft)
    assert BaseVersion.objects.get(pk=draft.pk).status == "active"
    assert "metric" in AuditEvent.objects.get(action="campaign.not_started").reason
    assert not Campaign.objects.exists()


def test_it_begins_nothing_beside_a_draft_for_the_same_target(world, draft):
    teams.update(by=world.by("alice"), team=world.health, auto_retrain=False)
    activate(world, draft)
    made = campaigns.create(by=world.by("alice"), base_model=draft.base_model)
    teams.update(by=world.by("alice"), team=world.health, auto_retrain=True)
    base_models.activate(by=world.by("admin"), version=BaseVersion.objects.get(number=2))
    base_models.activate(by=world.by("admin"), version=draft)
    assert list(Campaign.objects.filter(target=draft)) == [made]


def test_an_activation_asks_nothing_of_teams_that_did_not_wish_it(world, draft, django_assert_num_queries):
    teams.update(by=world.by("alice"), team=world.health, auto_retrain=False)
    base = draft.base_model
    with django_assert_num_queries(1):
        assert auto_retrain.begin(by=SYSTEM, base=base) == []
