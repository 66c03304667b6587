"""Who uses what right now: aliases and open assignments that reach a version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

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
    return of_versions([version]).get(version.pk, [])


def of_versions(versions: Iterable[AdapterVersion]) -> dict[int | None, list[str]]:
    """By the version's id, in two queries; what nothing refers to is left out."""
    ids, found = {version.pk for version in versions}, defaultdict[int | None, list[str]](list)
    for alias in Alias.objects.filter(version__in=ids, deleted_at__isnull=True).order_by("name"):
        found[alias.version_id].append(f"alias {alias.name}")
    clients = defaultdict[int | None, set[str]](set)
    for one in open_assignments().filter(Q(version__in=ids) | Q(canary_version__in=ids)):
        for pk in (one.version_id, one.canary_version_id):
            if pk in ids:
                clients[pk].add(f"client {one.slot.client.address}")
    for pk, names in clients.items():
        found[pk] += sorted(names)
    return dict(found)


def of_base_version(version: BaseVersion) -> QuerySet[Assignment]:
    """Open assignments that a version on this base answers, by alias, by pin or as a canary."""
    return open_assignments().filter(
        Q(version__base_version=version)
        | Q(canary_version__base_version=version)
        | Q(alias__version__base_version=version, alias__deleted_at__isnull=True)
    )
