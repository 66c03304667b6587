"""Clients, and what is behind the aliases that they follow."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import Act, Caller, require, visible
from registry.models import AliasHistory, Assignment, Client


def listing(by: Caller, *, q: str = "") -> QuerySet[Client]:
    rows = visible(by, Client.objects.select_related("team").filter(builtin=False))
    return (rows.filter(name__icontains=q) if q else rows).order_by("team__slug", "name")


def moves(by: Caller, client: Client) -> QuerySet[AliasHistory]:
    """Where the aliases that the client hangs on pointed, newest first: the other half of its history."""
    require(by, Act.READ, client.team)
    followed = Assignment.objects.filter(slot__client=client, alias__isnull=False).values("alias")
    rows = AliasHistory.objects.filter(alias__in=followed).select_related(
        "alias", "version__adapter__team", "version__base_version__base_model"
    )
    return rows.order_by("-valid_from", "-pk")
