"""What an alias could be rolled back to."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import OuterRef, Subquery

from registry.errors import Conflict
from registry.models import Adapter, AdapterVersion, Alias, AliasHistory
from registry.selectors import aliases


@dataclass(frozen=True)
class Before:
    """An alias, and the number of the version that it was on before the one that it is on."""

    alias: Alias
    number: int


def listing(adapter: Adapter) -> list[Before]:
    """Every alias that was moved once, by its name."""
    earlier = AliasHistory.objects.filter(alias=OuterRef("pk")).exclude(version=OuterRef("version"))
    number = earlier.order_by("-valid_from", "-pk").values("version__number")[:1]
    rows = aliases.listing(adapter).annotate(earlier=Subquery(number)).filter(earlier__isnull=False)
    return [Before(row, row.earlier) for row in rows.order_by("name")]


def version(alias: Alias) -> AdapterVersion:
    """Raises Conflict where it was never anywhere else."""
    rows = AliasHistory.objects.select_related("version").filter(alias=alias).exclude(version=alias.version_id)
    row = rows.order_by("-valid_from", "-pk").first()
    if row is None:
        raise Conflict(f"{alias.name} was never on another version.", code="nothing_before", param="alias")
    return row.version
