"""CI without stored secrets: whose signed statements a team takes for a short-lived token."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.models.base import TimestampedModel
from registry.models.fields import DigestField
from registry.models.teams import Team
from registry.models.tokens import ApiToken


class TrustedIssuer(TimestampedModel):
    """An OIDC issuer, and what a JWT of it must say; tokens made of them belong to whoever added it."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="trusted_issuers")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="trusted_issuers")
    issuer = models.CharField(max_length=500)
    audience = models.CharField(max_length=200)
    subject = models.CharField(max_length=300)
    scopes = models.JSONField(default=list)
    lifetime_seconds = models.PositiveIntegerField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "trusted issuer"


class TokenExchange(TimestampedModel):
    """A JWT that was used up, known by `digest` (of its issuer and `jti`, or of what was signed)."""

    trusted_issuer = models.ForeignKey(TrustedIssuer, on_delete=models.PROTECT, related_name="exchanges")
    token = models.OneToOneField(ApiToken, on_delete=models.PROTECT, related_name="exchange")
    digest = DigestField(unique=True)
    subject = models.CharField(max_length=300)
