"""Campaigns that the caller may read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet

from registry.access import Act, Caller, teams, visible
from registry.choices import ItemState
from registry.models import Campaign, CampaignItem, Evaluation
from registry.selectors.evaluations import home


def listing(by: Caller, *, team: str = "", base_model: str = "", state: str = "") -> QuerySet[Campaign]:
    rows = visible(by, Campaign.objects.select_related("team", "base_model", "target__base_model"))
    rows = rows.filter(team__slug=team) if team else rows
    rows = rows.filter(base_model__name=base_model) if base_model else rows
    return rows.filter(state=state) if state else rows


def items(campaign: Campaign) -> QuerySet[CampaignItem]:
    return _items(campaign.items.all())


def items_of(campaigns: Iterable[Campaign]) -> dict[int, list[CampaignItem]]:
    """Those of a page of campaigns, by campaign, in a constant number of queries."""
    found: dict[int, list[CampaignItem]] = {}
    for item in _items(CampaignItem.objects.filter(campaign__in=[row.pk for row in campaigns])):
        found.setdefault(item.campaign_id, []).append(item)
    return found


def _items(rows: QuerySet[CampaignItem]) -> QuerySet[CampaignItem]:
    return (
        rows.select_related(
            "adapter__team",
            "old__adapter__team",
            "old__base_version__base_model",
            "new__adapter__team",
            "campaign__target__base_model",
            "job",
            "promotion",
        )
        .defer("old__base_version__module_table", "campaign__target__module_table")
        .prefetch_related(Prefetch("evaluation_job__evaluations", _measured_where()))
        .order_by("adapter__name")
    )


def _measured_where() -> QuerySet[Evaluation]:
    return Evaluation.objects.select_related("on_base__base_model").defer("on_base__module_table")


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


def note(item: CampaignItem) -> str:
    """How the old version is compared, where not on the target; empty where it is."""
    old, target = item.old, item.campaign.target
    own = old.base_version
    if home(old, target) == target:
        return ""
    loads = own.shape_fingerprint == target.shape_fingerprint
    why = "reads other tokens than" if loads else "can't load on"
    by = "" if own.tokenizer_sha256 == target.tokenizer_sha256 else ", by bits per byte"
    return f"{old.address} {why} {target.address}, so it is measured on {own.address}{by}"


def measured(row: Evaluation) -> dict[str, Any]:
    return {
        "on_base": row.on_base.address,
        "loss": row.loss,
        "perplexity": row.perplexity,
        "bits_per_byte": row.bits_per_byte,
        "token_accuracy": row.token_accuracy,
        "checks": row.checks,
        "rows": row.rows,
        "tokens": row.tokens,
    }


def table(by: Caller, **filters: str) -> QuerySet[Campaign]:
    """Newest first, with `total` and `passed` items."""
    good = [ItemState.PASSED, ItemState.PROMOTING, ItemState.PROMOTED]
    counted = {"total": Count("items"), "passed": Count("items", filter=Q(items__state__in=good))}
    return listing(by, **filters).annotate(**counted).order_by("-pk")


def may_publish(by: Caller, campaign: Campaign) -> bool:
    """Whether the caller may decide about it."""
    return teams(by, Act.PUBLISH).filter(pk=campaign.team_id).exists()
