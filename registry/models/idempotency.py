"""Answers that were already given, so that a repeated POST acts once."""

from __future__ import annotations

from django.db import models

from registry.models.base import TimestampedModel
from registry.models.fields import DigestField


class IdempotencyKey(TimestampedModel):
    """`status` 0: the first request is still in progress."""

    caller = models.CharField(max_length=100)
    key = models.CharField(max_length=200)
    request_sha256 = DigestField()
    status = models.PositiveSmallIntegerField(default=0)
    body = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotency_key_once")]
