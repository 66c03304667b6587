"""Clients as the tables show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require, visible
from registry.models import AdapterVersion, AliasHistory, Assignment, Client, Receipt
from registry.selectors import staleness
from registry.selectors.assignments import at_time
from registry.selectors.staleness import Stale

REQUESTS_WITHIN = timedelta(hours=24)


@dataclass
class ClientRow:
    """One client with what answers its slots now."""

    client: Client
    versions: list[AdapterVersion] = field(default_factory=list)
    since: datetime | None = None
    requests: int = 0
    stale: Stale | None = None


def listing(by: Caller, *, q: str = "") -> QuerySet[Client]:
    rows = visible(by, Client.objects.select_related("team").filter(builtin=False))
    return (rows.filter(name__icontains=q) if q else rows).order_by("team__slug", "name")


def table(clients: Iterable[Client]) -> list[ClientRow]:
    """In a constant number of queries."""
    rows = {client.pk: ClientRow(client) for client in clients}
    versions = ("version__adapter__team", "version__base_version__base_model")
    related = (*versions, *(f"alias__{path}" for path in versions))
    running = Assignment.objects.select_related("slot", *related).filter(slot__client__in=rows)
    for one in at_time(running, timezone.now()).order_by("slot__name"):
        row = rows[one.slot.client_id]
        reached = one.version or (one.alias.version if one.alias else None)
        if reached is not None:
            row.versions.append(reached)
        row.since = max(one.valid_from, row.since or one.valid_from)
    ids = {version.pk for row in rows.values() for version in row.versions}
    stale = {found.version.pk: found for found in staleness.of_versions(ids)}
    counted = Receipt.objects.filter(client__in=rows, at__gte=timezone.now() - REQUESTS_WITHIN)
    requests = dict(counted.values_list("client").annotate(count=Count("pk")).order_by())
    for pk, row in rows.items():
        row.requests = requests.get(pk, 0)
        row.stale = next((stale[version.pk] for version in row.versions if version.pk in stale), None)
    return list(rows.values())


def moves(by: Caller, client: Client) -> QuerySet[AliasHistory]:
    """Where the aliases that the client hangs on pointed, newest first: the other half of its history."""
    require(by, Act.READ, client.team)
    followed = Assignment.objects.filter(slot__client=client, alias__isnull=False).values("alias")
    rows = AliasHistory.objects.filter(alias__in=followed).select_related(
        "alias", "version__adapter__team", "version__base_version__base_model"
    )
    return rows.order_by("-valid_from", "-pk")
