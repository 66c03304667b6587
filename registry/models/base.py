"""What every table shares."""

from __future__ import annotations

from django.db import models


class TimestampedModel(models.Model):
    """A row that knows when it was made."""

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
