"""Teams own datasets, adapters and clients; people join them with a role."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import Role
from registry.models.base import TimestampedModel
from registry.models.fields import SlugField


class Team(TimestampedModel):
    slug = SlugField(unique=True)
    name = models.CharField(max_length=200)
    auto_retrain = models.BooleanField(default=False)
    auto_retrain_gate = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.slug


class Membership(TimestampedModel):
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="membership_once")]
