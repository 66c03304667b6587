"""Clients that people made, and with `builtin` those that teams chat by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import CharField, Q, QuerySet, Value
from django.db.models.functions import Concat

from registry.access import Act, Caller, require, teams, visible
from registry.errors import NotFound
from registry.models import Adapter, Client, ClientLabel
from registry.selectors import searches
from registry.selectors.searches import Label

ORDERS = ("name", "-name", "created_at", "-created_at")


def listing(
    by: Caller,
    *,
    team: str = "",
    vertical: str = "",
    label: Sequence[Label] = (),
    q: str = "",
    builtin: bool = False,
) -> QuerySet[Client]:
    """`q` is text in its name, description or labels."""
    rows = visible(by, Client.objects.select_related("team").prefetch_related("labels").filter(builtin=builtin))
    rows = searches.exactly(rows, team__slug=team, vertical=vertical)
    rows = searches.with_labels(rows, ClientLabel, "client", label)
    if q:
        said = searches.label_says(ClientLabel, "client", q)
        rows = rows.filter(Q(name__icontains=q) | Q(description__icontains=q) | said)
    return rows


def addressed(by: Caller, addresses: Sequence[str]) -> list[Client]:
    """Those at `team/name`, in one query. Raises NotFound where one of them is missing."""
    named = Concat("team__slug", Value("/"), "name", output_field=CharField())
    rows = visible(by, Client.objects.select_related("team")).annotate(named=named).filter(named__in=addresses)
    found = {row.address: row for row in rows}
    for address in addresses:
        if address not in found:
            raise NotFound(f"No such client: {address[:130]}.", param="clients")
    return list(found.values())


def verticals(by: Caller) -> list[str]:
    """Those that the caller's clients are of."""
    rows = visible(by, Client.objects.filter(builtin=False).exclude(vertical="")).order_by("vertical")
    return list(rows.values_list("vertical", flat=True).distinct())


def adapters_for(by: Caller) -> list[str]:
    """Addresses of what the caller may assign to clients, which are of the same team."""
    rows = Adapter.objects.select_related("team").filter(team__in=teams(by, Act.ASSIGN))
    return [row.address for row in rows.order_by("team__slug", "name")]


def labels_of(by: Caller, client: Client) -> QuerySet[ClientLabel]:
    require(by, Act.READ, client.team)
    return client.labels.order_by("key")
