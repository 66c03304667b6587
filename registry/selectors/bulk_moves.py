"""Bulk moves that were made, with what became of each slot."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from registry.access import Act, Caller, fetch, visible
from registry.models import BulkMove, BulkMoveItem


def listing(by: Caller, *, team: str = "") -> QuerySet[BulkMove]:
    rows = visible(by, _rows())
    return rows.filter(team__slug=team) if team else rows


def one(by: Caller, act: Act, pk: int) -> BulkMove:
    return fetch(by, act, _rows().prefetch_related(Prefetch("items", _items())), pk=pk)


def _rows() -> QuerySet[BulkMove]:
    return BulkMove.objects.select_related("team", "undone_by")


def _items() -> QuerySet[BulkMoveItem]:
    target = ("adapter__team", "alias__version", "version", "canary_version")
    related = [f"{row}__{path}" for row in ("before", "made", "move") for path in target]
    rows = BulkMoveItem.objects.select_related("slot__client__team", *related)
    return rows.order_by("slot__client__name", "slot__name")
