"""Clients as the tables show them: slot by slot, with the canary, and whether what answers is stale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count
from django.utils import timezone

from registry.models import AdapterVersion, Assignment, Client, Receipt
from registry.selectors import staleness
from registry.selectors.assignments import at_time
from registry.selectors.staleness import Stale

REQUESTS_WITHIN = timedelta(hours=24)


@dataclass
class SlotRow:
    """One slot with what answers it now; `follows` is the alias, empty where a version is pinned."""

    name: str
    version: AdapterVersion
    follows: str
    since: datetime
    canary: AdapterVersion | None = None
    percent: int = 0
    stale: Stale | None = None


@dataclass
class ClientRow:
    client: Client
    slots: list[SlotRow] = field(default_factory=list)
    requests: int = 0

    @property
    def named(self) -> bool:
        """Whether the names of the slots say something."""
        return [slot.name for slot in self.slots] != ["default"]

    @property
    def since(self) -> datetime | None:
        return max((slot.since for slot in self.slots), default=None)

    @property
    def stale(self) -> Stale | None:
        """The gravest: one that is waived counts only where no other is stale."""
        found = [slot.stale for slot in self.slots if slot.stale]
        return min(found, key=lambda stale: stale.waived_until is not None, default=None)


def table(clients: Iterable[Client]) -> list[ClientRow]:
    """In a constant number of queries."""
    rows = {client.pk: ClientRow(client) for client in clients}
    for slot, one in _open(list(rows)):
        rows[one.slot.client_id].slots.append(slot)
    slots = [slot for row in rows.values() for slot in row.slots]
    reached = {version.pk for slot in slots for version in (slot.version, slot.canary) if version}
    stale = {found.version.pk: found for found in staleness.of_versions(reached)}
    for slot in slots:
        slot.stale = stale.get(slot.version.pk) or (stale.get(slot.canary.pk) if slot.canary else None)
    counted = Receipt.objects.filter(client__in=rows, at__gte=timezone.now() - REQUESTS_WITHIN)
    for pk, count in counted.values_list("client").annotate(count=Count("pk")).order_by():
        rows[pk].requests = count
    return list(rows.values())


def _open(clients: list[int]) -> Iterable[tuple[SlotRow, Assignment]]:
    versions = ("version__adapter__team", "version__base_version__base_model")
    related = (*versions, *(f"alias__{path}" for path in versions), *(f"canary_{path}" for path in versions))
    rows = Assignment.objects.select_related("slot", *related).filter(slot__client__in=clients)
    for one in at_time(rows, timezone.now()).order_by("slot__name"):
        version = one.version or (one.alias.version if one.alias else None)
        if version is not None:
            follows = one.alias.name if one.alias else ""
            canary = one.canary_version if one.canary_percent else None
            yield SlotRow(one.slot.name, version, follows, one.valid_from, canary, one.canary_percent), one
