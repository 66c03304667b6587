"""What every table shares."""

from __future__ import annotations

from django.db import models

from registry.choices import PromotionState


class TimestampedModel(models.Model):
    """A row that knows when it was made."""

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class WaitingMove(TimestampedModel):
    """A wanted move that waits until an engine is ready for it; `outcome` says how it ended."""

    asked_by = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    state = models.CharField(max_length=16, choices=PromotionState, default=PromotionState.WAITING)
    outcome = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True
