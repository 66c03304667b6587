"""Credentials: stored as a public id and the SHA-256 of a secret that is shown once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.models.base import TimestampedModel
from registry.models.fields import DigestField
from registry.models.teams import Team


class Secret(TimestampedModel):
    """What API tokens and client keys share."""

    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=8, unique=True)
    sha256 = DigestField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class ApiToken(Secret):
    """A team-bound token for CI; `scopes` bound what it may do."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="tokens")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="tokens")
    scopes = models.JSONField(default=list)
