"""Who sent this credential."""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from registry import credentials
from registry.models import ApiToken


def api_token(text: str) -> ApiToken | None:
    """The living token that `text` is, or None: unknown, expired, revoked and wrong look the same."""
    parts = credentials.split("plt", text)
    if parts is None:
        return None
    prefix, secret = parts
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    token = (
        ApiToken.objects.select_related("team", "owner")
        .defer(
            "owner__password", "owner__first_name", "owner__last_name", "owner__last_login", "owner__date_joined"
        )
        .filter(alive, prefix=prefix, revoked_at__isnull=True, owner__is_active=True)
        .first()
    )
    return token if token is not None and credentials.matches(secret, token.sha256) else None
