"""Who uses what right now: aliases and open assignments that reach a version."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from registry.models import AdapterVersion, Alias, Assignment, BaseVersion


def open_assignments() -> QuerySet[Assignment]:
    """Those that answer requests now or will; closed ones are history."""
    # A plan that was dropped ends where it would have begun, which lies in the future.
    living = Q(valid_to__isnull=True) | Q(valid_to__gt=timezone.now()) & Q(valid_to__gt=F("valid_from"))
    return Assignment.objects.filter(living).select_related("slot__client__team", "adapter__team")


def of_version(version: AdapterVersion) -> list[str]:
    """`alias production`, `client health/clinic`: what refers to the version itself."""
    aliases = Alias.objects.filter(version=version, deleted_at__isnull=True).order_by("name")
    pinned = open_assignments().filter(Q(version=version) | Q(canary_version=version))
    clients = sorted({f"client {one.slot.client.address}" for one in pinned})
    return [f"alias {alias.name}" for alias in aliases] + clients


def of_base_version(version: BaseVersion) -> QuerySet[Assignment]:
    """Open assignments that a version on this base answers, by alias, by pin or as a canary."""
    return open_assignments().filter(
        Q(version__base_version=version)
        | Q(canary_version__base_version=version)
        | Q(alias__version__base_version=version, alias__deleted_at__isnull=True)
    )
