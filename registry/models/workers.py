"""Who executes jobs."""

from __future__ import annotations

from django.db import models

from registry.models.base import TimestampedModel


class Worker(TimestampedModel):
    name = models.CharField(max_length=200, unique=True)
    devices = models.JSONField(default=list)
    memory = models.BigIntegerField(default=0)
    labels = models.JSONField(default=dict)
    last_tick = models.DateTimeField(null=True, blank=True)
