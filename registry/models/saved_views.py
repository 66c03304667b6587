"""Filters of a list that a person gave a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.choices import Listing
from registry.models.base import TimestampedModel
from registry.models.teams import Team


class SavedView(TimestampedModel):
    """`query` is what stands behind the question mark; with a team, all in it see the view."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="saved_views")
    listing = models.CharField(max_length=16, choices=Listing)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000)
    default = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "listing", "name"], name="one_view_of_a_name"),
            models.UniqueConstraint(
                fields=["owner", "listing"], condition=Q(default=True), name="one_default_view"
            ),
        ]
