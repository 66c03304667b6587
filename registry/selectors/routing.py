"""What the chat gateway asks at admission: whose key, which assignment, which version."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from registry import credentials
from registry.access import Act, Caller, require
from registry.choices import SERVABLE_BASE_STATES, VersionStatus
from registry.models import AdapterVersion, ApiToken, Assignment, BaseVersion, Client, ClientKey


def client_key(text: str) -> ClientKey | None:
    """The living key that `text` is, or None: unknown, expired, revoked and wrong look the same."""
    parts = credentials.split("plc", text)
    if parts is None:
        return None
    prefix, secret = parts
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    rows = ClientKey.objects.select_related("client__team")
    key = rows.filter(alive, prefix=prefix, revoked_at__isnull=True).first()
    return key if key is not None and credentials.matches(secret, key.sha256) else None


def open_assignments(client: Client) -> QuerySet[Assignment]:
    """What answers the client's slots now."""
    now = timezone.now()
    still = Q(valid_to__isnull=True) | Q(valid_to__gt=now)
    versions = [
        f"{path}__{name}"
        for path in ("version", "alias__version", "canary_version")
        for name in ("adapter__team", "base_version__base_model")
    ]
    return (
        Assignment.objects.filter(still, slot__client=client, valid_from__lte=now)
        .select_related("slot", *versions)
        .order_by("slot__name")
    )


def open_assignment(client: Client, slot: str) -> Assignment | None:
    return open_assignments(client).filter(slot__name=slot).first()


def internal_client(token: ApiToken) -> Client:
    """The built-in client on which the traffic of a team's tokens is booked. Raises Forbidden without `serve`."""
    by = Caller(token=token)
    require(by, Act.SERVE, token.team)
    return Client.objects.select_related("team").get(team=token.team, builtin=True)


def servable(token: ApiToken) -> QuerySet[AdapterVersion]:
    """Every ready version of the token's team whose base may still be served."""
    rows = AdapterVersion.objects.filter(
        adapter__team=token.team_id, status=VersionStatus.READY, base_version__status__in=SERVABLE_BASE_STATES
    )
    return rows.select_related("adapter__team", "base_version__base_model").order_by("adapter__name", "number")


def servable_bases() -> QuerySet[BaseVersion]:
    rows = BaseVersion.objects.filter(status__in=SERVABLE_BASE_STATES)
    return rows.select_related("base_model").order_by("base_model__name", "number")
