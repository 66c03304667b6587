"""Clients that people made, and with `builtin` those that teams chat by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from registry.access import Act, Caller, require, teams, visible
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


def adapters_for(by: Caller) -> list[str]:
    """Addresses of what the caller may assign to clients, which are of the same team."""
    rows = Adapter.objects.select_related("team").filter(team__in=teams(by, Act.ASSIGN))
    return [row.address for row in rows.order_by("team__slug", "name")]


def labels_of(by: Caller, client: Client) -> QuerySet[ClientLabel]:
    require(by, Act.READ, client.team)
    return client.labels.order_by("key")
