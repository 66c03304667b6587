"""Times in which no alias moves: of one team, or of the whole installation."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.base import TimestampedModel
from registry.models.teams import Team


class FreezeQuerySet(models.QuerySet["Freeze"]):
    def at(self, moment: object) -> FreezeQuerySet:
        return self.filter(Q(lifted_at__isnull=True) | Q(lifted_at__gt=moment), until__gt=moment)


class Freeze(TimestampedModel):
    """Without a team it holds for all of them."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="freezes")
    reason = models.TextField()
    until = models.DateTimeField()
    actor = models.CharField(max_length=200)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=200, blank=True)

    objects = FreezeQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["until"], name="freeze_until")]
