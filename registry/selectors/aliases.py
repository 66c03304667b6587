"""Aliases of an adapter that the caller was let to see."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import sole
from registry.choices import PromotionState
from registry.errors import NotFound
from registry.models import Adapter, Alias, AliasHistory, Approval, Promotion


def listing(adapter: Adapter) -> QuerySet[Alias]:
    rows = Alias.objects.select_related("version__adapter__team").filter(adapter=adapter)
    return rows.filter(deleted_at__isnull=True)


def find(adapter: Adapter, name: str) -> Alias | None:
    return _of(adapter, adapter.aliases.filter(name=name, deleted_at__isnull=True))


def held(adapter: Adapter, pk: int) -> Alias | None:
    """The one whose row the caller has locked."""
    return _of(adapter, adapter.aliases.filter(pk=pk))


def one(adapter: Adapter, name: str) -> Alias:
    row = find(adapter, name)
    if row is None:
        raise NotFound(f"{adapter.address} has no alias '{name}'.")
    return row


def _of(adapter: Adapter, rows: QuerySet[Alias]) -> Alias | None:
    """The only one of `rows`, whose adapter and team the caller has read already."""
    row = sole(rows.select_related("version"))
    if row is not None:
        row.version.adapter = adapter
    return row


def history(adapter: Adapter, name: str) -> QuerySet[AliasHistory]:
    """Newest first; of every alias that ever had the name."""
    rows = AliasHistory.objects.select_related("version").filter(alias__adapter=adapter, alias__name=name)
    if not rows.exists():
        raise NotFound(f"{adapter.address} never had an alias '{name}'.")
    return rows


def promotion(adapter: Adapter, pk: int) -> Promotion:
    rows = Promotion.objects.select_related("alias__adapter__team", "version__adapter__team")
    row = sole(rows.filter(alias__adapter=adapter, pk=pk))
    if row is None:
        raise NotFound(f"{adapter.address} has no promotion {pk}.")
    return row


def approvals(adapter: Adapter, name: str) -> QuerySet[Approval]:
    """Of the living alias: those that wait for a move, those that one used up, and those taken back."""
    alias = one(adapter, name)
    return Approval.objects.select_related("version__adapter__team", "approver").filter(alias=alias)


def open_approvals(adapter: Adapter) -> dict[int, list[Approval]]:
    """Those that no move has used yet and nobody took back, by their alias's id, oldest first."""
    rows = Approval.objects.select_related("version", "approver").filter(
        alias__adapter=adapter, used_at__isnull=True, withdrawn_at__isnull=True
    )
    found: dict[int, list[Approval]] = {}
    for row in rows.order_by("pk"):
        found.setdefault(row.alias_id, []).append(row)
    return found


def histories(adapter: Adapter) -> QuerySet[AliasHistory]:
    """Every move of every alias of the adapter, newest first."""
    rows = AliasHistory.objects.select_related("version", "alias").filter(alias__adapter=adapter)
    return rows.order_by("-valid_from", "-pk")


def waiting(adapter: Adapter) -> QuerySet[Promotion]:
    """Promotions that wait until an engine has their version."""
    rows = Promotion.objects.select_related("alias", "version").filter(alias__adapter=adapter)
    return rows.filter(state=PromotionState.WAITING)
