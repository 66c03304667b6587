"""What was served: one line for each answered request, never the text."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.adapters import AdapterVersion
from registry.models.base_models import BaseVersion
from registry.models.clients import Assignment, Client
from registry.models.fields import DigestField


class Receipt(models.Model):
    """`request` is made by the gateway before it answers, so that a line spooled twice counts once."""

    request = models.CharField(max_length=64, unique=True)
    at = models.DateTimeField()
    admitted_at = models.DateTimeField()
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="receipts")
    slot = models.CharField(max_length=63, blank=True)
    assignment = models.ForeignKey(Assignment, on_delete=models.PROTECT, null=True, related_name="receipts")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, null=True, related_name="receipts")
    base_version = models.ForeignKey(BaseVersion, on_delete=models.PROTECT, related_name="receipts")
    digest = DigestField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    milliseconds = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=32, default="completed")
    counted = models.BooleanField(db_default=False)  # in `UsageHour`

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(counted=False), name="receipt_uncounted"),
            models.Index(fields=["at"], name="receipt_at"),
            models.Index(fields=["client", "-at"], name="receipt_of_client"),
            models.Index(fields=["version", "-at"], name="receipt_of_version"),
        ]


class UsageHour(models.Model):
    """What receipts add up to, which outlives them: one row for each hour, slot, and version that answered."""

    hour = models.DateTimeField()
    client = models.ForeignKey(Client, on_delete=models.PROTECT, related_name="usage")
    slot = models.CharField(max_length=63, blank=True)
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, null=True, related_name="usage")
    base_version = models.ForeignKey(BaseVersion, on_delete=models.PROTECT, related_name="usage")
    requests = models.PositiveBigIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "client", "slot", "base_version", "version"],
                condition=Q(version__isnull=False),
                name="usage_of_version_once",
            ),
            models.UniqueConstraint(
                fields=["hour", "client", "slot", "base_version"],
                condition=Q(version__isnull=True),
                name="usage_of_base_once",
            ),
        ]
        indexes = [
            models.Index(fields=["client", "hour"], name="usage_of_client"),
            models.Index(fields=["version", "hour"], name="usage_of_version"),
        ]
