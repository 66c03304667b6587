"""One planned retraining of many stale adapters."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import CampaignState, ItemState
from registry.models.adapters import Adapter, AdapterVersion, Promotion
from registry.models.base import TimestampedModel
from registry.models.base_models import BaseModel, BaseVersion
from registry.models.jobs import Job
from registry.models.teams import Team


class Campaign(TimestampedModel):
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="campaigns")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="campaigns")
    target = models.ForeignKey(BaseVersion, on_delete=models.PROTECT, related_name="campaigns")
    recipe = models.JSONField(null=True)
    gate = models.JSONField(default=list)
    concurrency = models.PositiveSmallIntegerField(default=2)
    budget_device_seconds = models.FloatField(null=True)
    state = models.CharField(max_length=16, choices=CampaignState, default=CampaignState.DRAFT)
    state_reason = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    asked_by = models.CharField(max_length=200)
    finished_at = models.DateTimeField(null=True, blank=True)


class CampaignItem(models.Model):
    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="items")
    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="campaign_items")
    alias = models.CharField(max_length=63, default="production")
    old = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="campaigns_as_old")
    new = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, null=True, related_name="campaigns_as_new")
    job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, related_name="campaign_items")
    evaluation_job = models.ForeignKey(
        Job, on_delete=models.PROTECT, null=True, related_name="campaign_evaluations"
    )
    promotion = models.ForeignKey(Promotion, on_delete=models.PROTECT, null=True, related_name="campaign_items")
    verdict = models.JSONField(null=True)
    state = models.CharField(max_length=16, choices=ItemState, default=ItemState.PENDING)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "adapter"], name="campaign_item_once")]


class Waiver(TimestampedModel):
    """A version's staleness is accepted, with a reason and an end."""

    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="waivers")
    reason = models.TextField()
    until = models.DateTimeField()
    actor = models.CharField(max_length=200)
