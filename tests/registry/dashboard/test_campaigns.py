"""The review page: what it offers, and what it says of each item."""

from __future__ import annotations

import pytest

from registry.models import Campaign
from registry.services import aliases, assignments, clients
from registry.services.assignments import Target
from tests.make import make_base_version
from tests.registry.campaigns import GOOD, run_to_review


@pytest.fixture
def review(api, stale, world, tmp_path):
    """A campaign whose only item passed, and whose alias a client hangs on."""
    client = clients.create(by=world.by("alice"), team=world.health, name="st-olaf", vertical="")
    target = Target(stale, aliases.Alias.objects.get(name="production"))
    assignments.assign(by=world.by("alice"), client=client, slot="default", target=target, reason="r")
    run_to_review(api("alice"), tmp_path, **GOOD)
    return Campaign.objects.get()


def shown(pages, campaign, who="alice"):
    return pages(who).get(f"/campaigns/{campaign.pk}")


def offered(answer):
    return tuple(answer.context["offered"])


def test_it_offers_no_way_back_before_anything_was_promoted(pages, review):
    assert offered(shown(pages, review)) == ("promote", "cancel")


def test_it_names_the_promotion_that_waits_and_offers_the_way_back(pages, review):
    pages("alice").post(f"/campaigns/{review.pk}/act", {"act": "promote"})
    answer = shown(pages, review)
    assert offered(answer) == ("rollback", "cancel")
    assert b"waits for an engine to load v2" in answer.content
    pages("alice").post(f"/campaigns/{review.pk}/act", {"act": "rollback"})
    review.refresh_from_db()
    assert review.state == "rolled_back"


def test_it_does_not_say_promoted_of_what_an_approval_holds_back(pages, review, stale, world):
    aliases.protect(by=world.by("alice"), adapter=stale, name="production", approvals_required=1)
    answer = pages("alice").post(f"/campaigns/{review.pk}/act", {"act": "promote"}, follow=True)
    (said,) = [str(message) for message in answer.context["messages"]]
    assert said.startswith("Nothing is promoted: health/triage was not promoted: production takes 1 approval")


def test_a_viewer_is_offered_nothing_and_others_see_nothing(pages, review):
    assert offered(shown(pages, review, "bob")) == ()
    assert shown(pages, review, "charlie").status_code == 404


def test_it_says_where_an_old_version_that_can_not_load_was_measured(api, pages, stale, tmp_path):
    make_base_version(change="shape", shape_fingerprint="6" * 64)
    run_to_review(api("alice"), tmp_path, **GOOD)
    assert b"load on llama@3, so it is measured on llama@1" in shown(pages, Campaign.objects.get()).content
