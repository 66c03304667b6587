"""How much was answered: hours added up from receipts, grouped as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Case, CharField, F, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Concat, TruncDay, TruncHour, TruncMonth

from registry.access import Act, Caller, visible
from registry.models import UsageHour
from registry.selectors import addresses

TIMES = ("hour", "day", "month")
GROUPS = (*TIMES, "client", "adapter", "version")
SUMS = ("requests", "prompt_tokens", "completion_tokens")


def _joined(*parts: str | Value) -> Concat:
    return Concat(*parts, output_field=CharField())


_ADAPTER = _joined("version__adapter__team__slug", Value("/"), "version__adapter__name")
_VERSION = Concat(
    "version__adapter__team__slug",
    Value("/"),
    "version__adapter__name",
    Value("@"),
    Cast("version__number", CharField()),
    output_field=CharField(),
)
_BASE = Concat(
    "base_version__base_model__name",
    Value("@"),
    Cast("base_version__number", CharField()),
    output_field=CharField(),
)
# What the bare base answered has no adapter: its address stands for what did, and the adapter is empty.
COLUMNS: Mapping[str, Mapping[str, Combinable]] = {
    "hour": {"of_hour": TruncHour("hour")},
    "day": {"of_day": TruncDay("hour")},
    "month": {"of_month": TruncMonth("hour")},
    "client": {"of_client": _joined("client__team__slug", Value("/"), "client__name")},
    "adapter": {"of_adapter": Case(When(version__isnull=True, then=Value("")), default=_ADAPTER)},
    "version": {
        "of_adapter": Case(When(version__isnull=True, then=Value("")), default=_ADAPTER),
        "of_version": Case(
            When(version__isnull=True, then=Value(0)), default=F("version__number"), output_field=IntegerField()
        ),
        "of_address": Case(When(version__isnull=True, then=_BASE), default=_VERSION),
    },
}


def listing(
    by: Caller,
    *,
    group_by: Sequence[str],
    client: str | None = None,
    adapter: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[UsageHour, dict[str, Any]]:
    """Sums of the caller's clients by group; an hour belongs to the span in which it begins.

    `adapter` may name one version. The columns of a group are in `COLUMNS`.
    """
    rows = visible(by, UsageHour.objects.all(), team="client__team").filter(_wanted(by, client, adapter))
    if since:
        rows = rows.filter(hour__gte=since)
    if until:
        rows = rows.filter(hour__lt=until)
    columns = columns_of(group_by)
    sums = {f"sum_{name}": Sum(name) for name in SUMS}
    summed: QuerySet[UsageHour, dict[str, Any]] = rows.annotate(**columns).values(*columns).annotate(**sums)
    return summed.order_by(*columns)


def columns_of(group_by: Sequence[str]) -> dict[str, Combinable]:
    """Times first, so that pages follow one another in time."""
    return {name: column for group in GROUPS if group in group_by for name, column in COLUMNS[group].items()}


def _wanted(by: Caller, client: str | None, adapter: str | None) -> Q:
    wanted = Q()
    if client:
        wanted &= Q(client=addresses.client(by, Act.READ, client, param="client"))
    if adapter:
        if addresses.parse(adapter, param="adapter").text.partition("@")[2]:
            wanted &= Q(version=addresses.adapter_version(by, Act.READ, adapter, param="adapter"))
        else:
            wanted &= Q(version__adapter=addresses.adapter(by, Act.READ, adapter, param="adapter"))
    return wanted
