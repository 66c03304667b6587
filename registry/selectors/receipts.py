"""What was served."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from registry.access import Act, Caller, visible
from registry.models import Receipt
from registry.selectors import addresses


def listing(
    by: Caller,
    *,
    client: str | None = None,
    adapter: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Receipt]:
    """Receipts of the caller's teams; `since` is included, `until` is not. `adapter` may name one version."""
    rows = visible(by, Receipt.objects.all(), team="client__team")
    if client:
        rows = rows.filter(client=addresses.client(by, Act.READ, client, param="client"))
    if adapter:
        if addresses.parse(adapter, param="adapter").text.partition("@")[2]:
            rows = rows.filter(version=addresses.adapter_version(by, Act.READ, adapter, param="adapter"))
        else:
            rows = rows.filter(version__adapter=addresses.adapter(by, Act.READ, adapter, param="adapter"))
    if since:
        rows = rows.filter(at__gte=since)
    if until:
        rows = rows.filter(at__lt=until)
    return rows.select_related(
        "client__team", "version__adapter__team", "version__base_version__base_model", "base_version__base_model"
    )


def with_assignments(rows: QuerySet[Receipt]) -> QuerySet[Receipt]:
    """With all that names what they rest on; oldest first."""
    around = ("assignment__slot__client__team", "assignment__adapter__team", "assignment__alias")
    return rows.select_related(*around).order_by("at", "pk")
