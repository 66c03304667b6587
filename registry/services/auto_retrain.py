"""Campaigns that start by themselves, for the teams that want them, when a base version is activated."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from registry.access import SYSTEM, Caller
from registry.choices import CAMPAIGN_TRANSITIONS, StaleReason
from registry.errors import RegistryError
from registry.models import Adapter, BaseModel, Campaign, Team
from registry.selectors import staleness
from registry.selectors.staleness import Stale
from registry.services import audit, campaigns

ENDED = [state for state, after in CAMPAIGN_TRANSITIONS.items() if not after]


def begin(*, by: Caller, base: BaseModel) -> list[Campaign]:
    """A running campaign for each team over what the current version has superseded; as part of the activation.

    A team whose campaign can't be made, which its audit then says, stops neither the activation nor the others.
    """
    system = replace(SYSTEM, on_behalf_of=by.on_behalf_of or by.name, request_id=by.request_id)
    wanting = Team.objects.filter(auto_retrain=True).order_by("slug")
    begun = [_begin(system, base, team, adapters) for team in wanting if (adapters := _superseded(base, team))]
    return [campaign for campaign in begun if campaign is not None]


def _superseded(base: BaseModel, team: Team) -> list[Adapter]:
    """The team's adapters to retrain."""
    rows = staleness.listing(SYSTEM, team=team.slug, base_model=base.name)
    return campaigns.due(row for row in rows if _is_superseded(row))


def _is_superseded(row: Stale) -> bool:
    return any(reason.reason == StaleReason.BASE_SUPERSEDED for reason in row.reasons)


def _begin(by: Caller, base: BaseModel, team: Team, adapters: list[Adapter]) -> Campaign | None:
    if team.campaigns.filter(target=base.current_id).exclude(state__in=ENDED).exists():
        return None  # somebody has begun the same
    try:
        with transaction.atomic():
            made = campaigns.create(by=by, base_model=base, adapters=adapters, gate=team.auto_retrain_gate)
            return campaigns.start(by=by, campaign=made)
    except RegistryError as error:
        audit.record(by, "campaign.not_started", f"team:{team.slug}", team=team, reason=error.message)
        return None
