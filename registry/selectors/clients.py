"""Clients that people made, and with `builtin` those that teams chat by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from registry.access import Act, Caller, require, teams, visible
from registry.models import Adapter, Client, ClientLabel
from registry.selectors import searches

Label = tuple[str, str]
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
    rows = rows.filter(team__slug=team) if team else rows
    rows = rows.filter(vertical=vertical) if vertical else rows
    for key, value in label:
        rows = rows.filter(searches.labelled(ClientLabel, "client", key, value))
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
