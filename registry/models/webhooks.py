"""Who is told of what happens, and what is to be told and was."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.choices import DeliveryState
from registry.models.base import TimestampedModel
from registry.models.teams import Team


class WebhookEndpoint(TimestampedModel):
    """An address that a team wants called. Secrets are kept sealed: a message can't be signed with a digest."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="webhooks")
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list)
    secret = models.TextField()
    former_secret = models.TextField(blank=True)
    former_until = models.DateTimeField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    disabled_reason = models.TextField(blank=True)
    # Of the failures since the last success: how many, since when, and until when none is tried again.
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "webhook"


class WebhookDelivery(TimestampedModel):
    """One event for one endpoint. `message` and `body` are the same however often it is sent."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    message = models.CharField(max_length=64)
    event = models.CharField(max_length=64)
    body = models.TextField()
    state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    attempted_at = models.DateTimeField(null=True, blank=True)
    first_failed_at = models.DateTimeField(null=True, blank=True)
    response_status = models.PositiveIntegerField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "delivery"
        constraints = [models.UniqueConstraint(fields=["endpoint", "message"], name="webhook_message_once")]
        indexes = [
            models.Index(fields=["endpoint", "due_at"], condition=Q(state="pending"), name="webhook_due"),
            models.Index(fields=["created_at"], name="webhook_made"),
        ]
