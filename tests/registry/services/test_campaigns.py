"""What a campaign takes in, and what it moves where others have moved things meanwhile."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.errors import Conflict, Invalid
from registry.models import Adapter, Alias, Campaign
from registry.services import aliases, campaign_steps, campaigns, version_states
from tests.make import make_version
from tests.registry.campaigns import GOOD, run_to_review


@pytest.fixture
def promoted(api, stale, tmp_path):
    """A completed campaign: production of health/triage went from 1 to 2."""
    made = run_to_review(api("alice"), tmp_path, **GOOD)
    campaign = Campaign.objects.get(pk=made["id"])
    campaigns.promote(by=SYSTEM, campaign=campaign)
    campaign_steps.advance()
    campaign.refresh_from_db()
    return campaign


def move(adapter: Adapter, number: int) -> None:
    version = adapter.versions.get(number=number)
    aliases.move(by=SYSTEM, adapter=adapter, name="production", version=version, reason="by hand", force=True)


def test_an_adapter_that_is_named_twice_is_retrained_once(world, stale):
    made = campaigns.create(by=world.by("alice"), adapters=[stale, stale])
    assert made.items.count() == 1


def test_an_old_version_that_something_still_reaches_is_no_reason_to_retrain_the_current_one(
    world, promoted, stale
):
    old = stale.versions.get(number=1)
    aliases.move(by=SYSTEM, adapter=stale, name="previous", version=old, reason="kept")
    with pytest.raises(Invalid) as refused:
        campaigns.create(by=world.by("alice"), base_model=stale.base_model)
    assert refused.value.code == "nothing_stale"


def test_a_completed_one_says_when(promoted):
    assert (promoted.state, promoted.finished_at is not None) == ("completed", True)


def test_a_rollback_leaves_what_somebody_moved_on_since(promoted, stale):
    make_version(stale.team, stale.name, base=promoted.target)
    move(stale, 3)
    with pytest.raises(Conflict) as refused:
        campaigns.rollback(by=SYSTEM, campaign=promoted)
    assert (refused.value.code, Alias.objects.get().version.number) == ("moved_on", 3)


def test_a_rollback_takes_what_was_moved_back_by_hand(promoted, stale):
    move(stale, 1)
    campaigns.rollback(by=SYSTEM, campaign=promoted)
    assert (promoted.items.get().state, Alias.objects.get().version.number) == ("rolled_back", 1)


def test_a_version_that_serves_no_more_stays_unpromoted_and_stops_no_other(api, stale, tmp_path):
    made = run_to_review(api("alice"), tmp_path, **GOOD)
    version_states.quarantine(by=SYSTEM, version=stale.versions.get(number=2), reason="odd")
    campaigns.promote(by=SYSTEM, campaign=Campaign.objects.get(pk=made["id"]))
    item = Campaign.objects.get().items.get()
    assert (item.state, item.reason) == ("passed", "not promoted: health/triage@2 is quarantined, not ready.")


def test_what_was_promoted_is_promoted_wherever_its_alias_is_by_now(api, stale, tmp_path):
    made = run_to_review(api("alice"), tmp_path, **GOOD)
    campaigns.promote(by=SYSTEM, campaign=Campaign.objects.get(pk=made["id"]))
    move(stale, 1)  # before the feeder looked
    campaign_steps.advance()
    assert api("alice").get(f"/api/v1/campaigns/{made['id']}").json()["state"] == "completed"


def test_a_second_feeder_fills_no_room_twice(world, store, stale):
    make_version(world.health, "notes", base=stale.versions.get().base_version)
    adapters = list(Adapter.objects.order_by("pk"))
    made = campaigns.create(by=world.by("alice"), adapters=adapters, concurrency=1)
    campaigns.start(by=world.by("alice"), campaign=made)
    late = campaign_steps._items(made, "pending")  # read by a feeder before the other one began
    campaign_steps._begin_more(SYSTEM, Campaign.objects.get())
    for item in late:
        campaign_steps._guarded(campaign_steps._train, SYSTEM, Campaign.objects.get(), item)
    assert sorted(made.items.values_list("state", flat=True)) == ["pending", "training"]
