"""Clients that people made."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import Caller, visible
from registry.models import Client


def listing(by: Caller, *, q: str = "") -> QuerySet[Client]:
    rows = visible(by, Client.objects.select_related("team").filter(builtin=False))
    return (rows.filter(name__icontains=q) if q else rows).order_by("team__slug", "name")
