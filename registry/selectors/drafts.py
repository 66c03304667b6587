"""Campaigns that were planned and not started."""

from __future__ import annotations

from registry.access import Act, Caller, teams
from registry.choices import CampaignState
from registry.models import BaseModel, Campaign
from registry.selectors import campaigns, staleness


def same_as_stale(by: Caller, base: BaseModel) -> Campaign | None:
    """A draft onto the current version over exactly what is stale now: asking again should not make a second."""
    mine = set(teams(by, Act.PUBLISH).values_list("pk", flat=True))
    needing = (row for row in staleness.listing(by, base_model=base.name) if row.waived_until is None)
    stale = {row.version.adapter_id for row in needing if row.version.adapter.team_id in mine}
    rows = campaigns.listing(by, base_model=base.name, state=CampaignState.DRAFT).filter(target=base.current_id)
    for draft in rows.prefetch_related("items").order_by("-pk")[:20]:
        if {item.adapter_id for item in draft.items.all()} == stale:
            return draft
    return None
