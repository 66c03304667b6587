"""Legal holds: what nothing is deleted of while one is open."""

from __future__ import annotations

from django.db import models

from registry.models.base import TimestampedModel
from registry.models.teams import Team


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def open(self) -> LegalHoldQuerySet:
        return self.filter(lifted_at__isnull=True)


class LegalHold(TimestampedModel):
    """Without a team it holds everything."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="legal_holds")
    reason = models.TextField()
    actor = models.CharField(max_length=200)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=200, blank=True)

    objects = LegalHoldQuerySet.as_manager()
