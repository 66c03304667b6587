"""What a campaign would do: the request for each item, and what all of it takes."""

from __future__ import annotations

from typing import Any

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import StaleReason
from registry.errors import Conflict, RegistryError
from registry.models import AdapterVersion, Campaign, CampaignItem, DatasetVersion, TrainingSpec
from registry.recipes.checks import Suite
from registry.selectors import campaigns as selectors
from registry.selectors import staleness
from registry.services import campaigns, training
from registry.services.training import Request

OF_DATASETS = (StaleReason.DATASET_SUPERSEDED, StaleReason.DATASET_WITHDRAWN)  # what a new base doesn't mend


def plan(campaign: Campaign, item: CampaignItem) -> Request:
    """Retrain as the old version was trained: its recipe and dataset, on the campaign's target.

    Raises Conflict where no row could judge the new version: then nothing is trained for nothing.
    """
    spec = _spec(item)
    judged = spec.evaluation_dataset or spec.dataset_version
    if judged.lacks("test"):
        words = f"{judged.address} has no row in its test split, so no version could be judged"
        raise Conflict(f"{words}; train it by a job of its own, on a dataset that has some.", code="no_test_rows")
    recipe = campaign.recipe if campaign.recipe is not None else training.portable(spec)
    return training.request_of(
        spec, base_version=campaign.target, recipe=recipe, gate=(), promote_to="", priority=0
    )


def _spec(item: CampaignItem) -> TrainingSpec:
    spec = TrainingSpec.objects.filter(job=item.old.job_id).select_related(
        "job",
        "adapter__team",
        "adapter__base_model",
        "dataset_version__dataset__team",
        "dataset_version__manifest",
    )
    found = spec.first()
    if found is None:
        raise Conflict(
            f"{item.old.address} was imported, so there is no recipe to repeat; train it with a job of its own.",
            code="no_recipe",
        )
    return found


def judged_on(item: CampaignItem) -> DatasetVersion:
    """The dataset whose test split decides."""
    spec = _spec(item)
    return spec.evaluation_dataset or spec.dataset_version


def suite_of(item: CampaignItem) -> Suite | None:
    """What is asked of the versions besides: as of the old one."""
    kept = _spec(item).suite
    return Suite.from_dict(kept) if kept else None


def preview(*, by: Caller, campaign: Campaign) -> dict[str, Any]:
    """Jobs, device time, cost and clients, item by item and in all. Writes nothing."""
    require(by, Act.PUBLISH, campaign.team)
    return _summed(by, campaign, list(selectors.items(campaign)))


def dry_run(*, by: Caller, **asked: Any) -> dict[str, Any]:
    """The preview of a campaign that nobody made."""
    return _summed(by, *campaigns.drafted(by=by, **asked))


def _summed(by: Caller, campaign: Campaign, items: list[CampaignItem]) -> dict[str, Any]:
    hit = staleness.clients_of([item.old for item in items])
    _, reasons = staleness.sharing(AdapterVersion.objects.filter(pk__in=[item.old_id for item in items]))
    lines = [_line(by, campaign, item) for item in items]
    possible = [line for line in lines if line["error"] is None]
    clients = {client.address for item in items for client in hit.get(item.old_id, [])}
    for line, item in zip(lines, items, strict=True):
        line["clients"] = [client.address for client in hit.get(item.old_id, [])]
        kept = [reason for reason in reasons.get(item.old_id, ()) if reason.reason in OF_DATASETS]
        line["stays_stale"] = [staleness.words(reason) for reason in kept]
    return {
        "target": campaign.target.address,
        "jobs": len(possible),
        "estimated_device_seconds": round(sum(line["device_seconds"] for line in possible), 3),
        "estimated_cost": round(sum(line["cost"] for line in possible), 6),
        "clients": sorted(clients),
        "items": lines,
    }


def _line(by: Caller, campaign: Campaign, item: CampaignItem) -> dict[str, Any]:
    line: dict[str, Any] = {
        "adapter": item.adapter.address,
        "old": item.old.address,
        "device_seconds": 0.0,
        "cost": 0.0,
        "error": None,
    }
    try:
        # Whoever may publish may look: the jobs run as the system, so `train` is not asked for.
        planned = training.plan(by=SYSTEM.behalf(by.name), request=plan(campaign, item))
        estimate = training.estimate(planned)
    except RegistryError as error:
        return {**line, "error": error.message}
    return {**line, "device_seconds": estimate.device_seconds, "cost": estimate.cost}
