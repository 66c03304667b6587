"""What the feeder does for running campaigns each second, as the system, on behalf of who asked.

An item goes pending -> training -> evaluating -> passed or refused (or failed); after a promotion
promoting -> promoted. Every step is a conditional move of the item's row, so several feeders are harmless
and a restart goes on where the rows say.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone

from registry.access import SYSTEM, Caller
from registry.choices import CampaignState, ItemState, JobState, PromotionState, Split
from registry.errors import RegistryError
from registry.models import AdapterVersion, Campaign, CampaignItem, Evaluation, Job
from registry.selectors import evaluations as measuring
from registry.services import audit, campaign_plans, evaluations, gates, training
from registry.services.campaigns import OPEN_ITEMS, move_item, object_of, was_promoted

log = logging.getLogger(__name__)

BUSY = (ItemState.TRAINING, ItemState.EVALUATING)
MOVING = (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.REVIEW)


def advance() -> None:
    """One round over every campaign that can move by itself."""
    rows = Campaign.objects.select_related("team", "target__base_model", "created_by")
    for campaign in rows.filter(state__in=MOVING):
        by = SYSTEM.behalf(campaign.asked_by)
        for item in _items(campaign, *BUSY, ItemState.PROMOTING):
            _guarded(_follow, by, campaign, item)
        if campaign.state == CampaignState.RUNNING:
            _begin_more(by, campaign)
        _close(by, campaign)


def _items(campaign: Campaign, *states: ItemState) -> list[CampaignItem]:
    rows = campaign.items.select_related(
        "adapter__team",
        "old__base_version__base_model",
        "old__dataset_version__dataset__team",
        "old__job__training__evaluation_dataset",
        "old__adapter__team",
        "new__adapter__team",
        "job",
        "evaluation_job",
        "promotion",
    )
    return list(rows.filter(state__in=states).order_by("pk"))


def _guarded(step: Any, by: Caller, campaign: Campaign, item: CampaignItem) -> None:
    """One item that can't go on ends as failed, with the reason; the others go on."""
    try:
        with transaction.atomic():
            # Locked and read again: it may have been cancelled since this round began.
            now = Campaign.objects.select_for_update().values_list("state", flat=True).get(pk=campaign.pk)
            if now in MOVING:
                campaign.state = now
                step(by, campaign, item)
    except RegistryError as error:
        log.warning("campaign %s, %s: %s", campaign.pk, item.adapter.address, error.message)
        move_item(by, item, ItemState.FAILED, reason=error.message)
    except (OperationalError, InterfaceError):  # the database, not the item: the next round tries again
        log.exception("campaign %s, %s", campaign.pk, item.adapter.address)
    except Exception as error:
        log.exception("campaign %s, %s", campaign.pk, item.adapter.address)
        reason = f"broken by {type(error).__name__}: {error}; the worker's log has the whole of it"
        move_item(by, item, ItemState.FAILED, reason=reason[:2000])


def _begin_more(by: Caller, campaign: Campaign) -> None:
    """Submit pending items while there is room under `concurrency` and the budget."""
    pending = _items(campaign, ItemState.PENDING)[: _room(campaign)]
    if pending and _over_budget(campaign):
        for item in _items(campaign, ItemState.PENDING):
            move_item(by, item, ItemState.FAILED, reason="the campaign's budget of device time is used up")
        return
    for item in pending:
        _guarded(_train, by, campaign, item)


def _room(campaign: Campaign) -> int:
    return max(0, campaign.concurrency - campaign.items.filter(state__in=BUSY).count())


def _over_budget(campaign: Campaign) -> bool:
    if campaign.budget_device_seconds is None:
        return False
    return device_seconds(campaign) >= campaign.budget_device_seconds


def device_seconds(campaign: Campaign) -> float:
    """What its training and its evaluations have used so far, those that run included."""
    its = Q(campaign_items__campaign=campaign) | Q(campaign_evaluations__campaign=campaign)
    used = Job.objects.filter(its).distinct().values_list("pk", "cost", "progress")
    return sum(float((cost or progress).get("device_seconds", 0)) for _, cost, progress in used)


def _train(by: Caller, campaign: Campaign, item: CampaignItem) -> None:
    # The campaign is locked now: another feeder may have filled the room that this one saw.
    if campaign.state != CampaignState.RUNNING or not _room(campaign):
        return
    if not move_item(by, item, ItemState.TRAINING):
        return
    plan = campaign_plans.plan(campaign, item)
    job = training.submit(by=by, request=plan)
    CampaignItem.objects.filter(pk=item.pk).update(job=job)


def _follow(by: Caller, campaign: Campaign, item: CampaignItem) -> None:
    if item.state == ItemState.TRAINING and item.job is not None:
        _follow_training(by, campaign, item, item.job)
    elif item.state == ItemState.EVALUATING and item.evaluation_job is not None:
        _follow_evaluation(by, campaign, item, item.evaluation_job)
    elif item.state == ItemState.PROMOTING:
        _follow_promotion(by, item)


def _follow_training(by: Caller, campaign: Campaign, item: CampaignItem, job: Job) -> None:
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        words = (job.error or {}).get("message", f"its job was {job.state}")
        move_item(by, item, ItemState.FAILED, reason=words)
    if job.state != JobState.SUCCEEDED:
        return
    new = AdapterVersion.objects.get(job=job)
    if not move_item(by, item, ItemState.EVALUATING, new=new):
        return
    base = campaign.target
    subjects = [new, *([item.old] if measuring.can_measure(item.old) else []), None]
    dataset = campaign_plans.judged_on(item)
    if evaluations.has_measured(job, subjects=subjects, dataset=dataset, base=base):
        evaluation = job  # the old version was production, so the training job has measured all three
    else:
        evaluation = evaluations.create(
            by=by,
            subjects=subjects,
            datasets=[dataset],
            split=Split.TEST,
            on_base=base,
            suite=campaign_plans.suite_of(item),
            at_home=[] if measuring.home(item.old, base) == base else [item.old],
        )
    CampaignItem.objects.filter(pk=item.pk).update(evaluation_job=evaluation)


def _follow_evaluation(by: Caller, campaign: Campaign, item: CampaignItem, job: Job) -> None:
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        words = (job.error or {}).get("message", f"the evaluation was {job.state}")
        move_item(by, item, ItemState.FAILED, reason=words)
    if job.state != JobState.SUCCEEDED:
        return
    rows = {row.adapter_version_id: measuring.numbers(row) for row in Evaluation.objects.filter(job=job)}
    verdict = gates.judge(
        campaign.gate or DEFAULT_GATE,
        measured=rows[item.new_id],
        production=rows.get(item.old_id),
        base=rows.get(None),
        **measuring.standing(item.old, campaign.target),
    )
    passed = bool(verdict["passed"])
    reason = "" if passed else gates.why(verdict)
    move_item(by, item, ItemState.PASSED if passed else ItemState.REFUSED, verdict=verdict, reason=reason)


# Better than what it replaces and than no adapter at all, on rows that training never saw.
DEFAULT_GATE = [
    {"metric": "loss", "op": "<=", "relative_to": "production"},
    {"metric": "loss", "op": "<", "relative_to": "base"},
]


def _follow_promotion(by: Caller, item: CampaignItem) -> None:
    if was_promoted(item):
        move_item(by, item, ItemState.PROMOTED)
    elif item.promotion is not None and item.promotion.state in (PromotionState.FAILED, PromotionState.CANCELLED):
        move_item(by, item, ItemState.PASSED, reason=f"not promoted: {item.promotion.outcome}")


def _close(by: Caller, campaign: Campaign) -> None:
    """running -> review when nothing trains any more; review -> completed when all that passed is promoted."""
    states = set(campaign.items.values_list("state", flat=True))
    if campaign.state == CampaignState.RUNNING and not states & set(OPEN_ITEMS):
        _campaign_to(by, campaign, CampaignState.RUNNING, CampaignState.REVIEW)
    unfinished = states & {ItemState.PROMOTING, ItemState.PASSED}
    if campaign.state == CampaignState.REVIEW and ItemState.PROMOTED in states and not unfinished:
        _campaign_to(by, campaign, CampaignState.REVIEW, CampaignState.COMPLETED)


def _campaign_to(by: Caller, campaign: Campaign, old: CampaignState, new: CampaignState) -> None:
    with transaction.atomic():
        ended = {"finished_at": timezone.now()} if new == CampaignState.COMPLETED else {}
        if Campaign.objects.filter(pk=campaign.pk, state=old).update(state=new, **ended):
            audit.record(
                by,
                f"campaign.{new}",
                object_of(campaign),
                team=campaign.team,
                before={"state": old},
                after={"state": new},
            )
