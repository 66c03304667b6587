"""Which engines run, what they hold."""

from __future__ import annotations

from django.db import models

from registry.models.adapters import AdapterVersion
from registry.models.base import TimestampedModel
from registry.models.base_models import BaseVersion


class ServingInstance(TimestampedModel):
    """One engine of one base version. `loaded` is what it reported last: ``[{"version", "address", "digest"}]``,
    `problems` what it could not load: ``[{"version", "address", "message"}]``."""

    url = models.URLField(unique=True)
    base_version = models.ForeignKey(BaseVersion, on_delete=models.PROTECT, related_name="instances")
    engine = models.CharField(max_length=32)
    pid = models.PositiveIntegerField(null=True)
    base_loads = models.PositiveIntegerField(default=0)
    loaded = models.JSONField(default=list)
    problems = models.JSONField(default=list)
    swap_ms = models.FloatField(null=True)
    last_tick = models.DateTimeField(null=True, blank=True)


class ServingWish(TimestampedModel):
    """A serve token or the playground asked for this version by name: engines of its base keep it for a while."""

    version = models.OneToOneField(AdapterVersion, on_delete=models.CASCADE, related_name="wish")
    asked_at = models.DateTimeField()
