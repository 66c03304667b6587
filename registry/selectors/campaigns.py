"""Campaigns that the caller may read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from registry.access import Caller, visible
from registry.models import Campaign, CampaignItem, Evaluation


def listing(by: Caller) -> QuerySet[Campaign]:
    return visible(by, Campaign.objects.select_related("team", "base_model", "target__base_model"))


def items(campaign: Campaign) -> QuerySet[CampaignItem]:
    return (
        campaign.items.select_related(
            "adapter__team", "old__adapter__team", "new__adapter__team", "job", "promotion"
        )
        .prefetch_related("evaluation_job__evaluations")
        .order_by("adapter__name")
    )


def evaluations(item: CampaignItem) -> dict[str, Any]:
    """The new version, the old one and the bare base, measured on the target; None until measured."""
    found: dict[str, Any] = {"old": None, "new": None, "base": None}
    if item.evaluation_job is None:
        return found
    for row in item.evaluation_job.evaluations.all():
        role = {item.new_id: "new", item.old_id: "old", None: "base"}.get(row.adapter_version_id)
        if role is not None and row.loss is not None:
            found[role] = measured(row)
    return found


def measured(row: Evaluation) -> dict[str, Any]:
    return {
        "loss": row.loss,
        "perplexity": row.perplexity,
        "bits_per_byte": row.bits_per_byte,
        "token_accuracy": row.token_accuracy,
        "rows": row.rows,
        "tokens": row.tokens,
    }
