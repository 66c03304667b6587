"""What a change has just made stale: the versions that got a reason by it that they hadn't before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import Count, QuerySet, Window
from django.db.models.functions import RowNumber

from registry.choices import DatasetStatus, StaleReason
from registry.models import AdapterVersion, AuditEvent, DatasetVersion
from registry.selectors import staleness

MOST_NAMED = 100
# The act in the audit -> the reason that it gives.
CAUSES = {
    "base_version.activate": StaleReason.BASE_SUPERSEDED,
    "base_version.deprecate": StaleReason.BASE_DEPRECATED,
    "base_version.retire": StaleReason.BASE_RETIRED,
    "dataset_version.ready": StaleReason.DATASET_SUPERSEDED,
    "dataset_version.withdraw": StaleReason.DATASET_WITHDRAWN,
}


def opened(event: AuditEvent, *, teams: Iterable[int]) -> dict[int, dict[str, Any]]:
    """By team: how many of its versions, and the first of them with their clients. The change has been written.

    The same few queries for one team and for many.
    """
    reason, hit = CAUSES[event.action], _hit(event).filter(adapter__team__in=teams)
    counts = dict(hit.order_by().values_list("adapter__team").annotate(count=Count("pk")))
    named = _named(hit) if counts else {}
    return {
        team: {
            "team": named[team][0].version.adapter.team.slug if team in named else None,
            "reason": reason,
            "cause": event.object,
            "count": count,
            "versions": [_version(one, reason) for one in named.get(team, [])],
        }
        for team, count in counts.items()
    }


def _named(hit: QuerySet[AdapterVersion]) -> dict[int, list[staleness.Stale]]:
    """The first of each team."""
    place = Window(RowNumber(), partition_by="adapter__team", order_by="pk")
    first = list(
        hit.annotate(place=place).filter(place__lte=MOST_NAMED).order_by("pk").values_list("pk", flat=True)
    )
    table: dict[int, list[staleness.Stale]] = defaultdict(list)
    for start in range(0, len(first), staleness.CHUNK):
        for one in staleness.of(AdapterVersion.objects.filter(pk__in=first[start : start + staleness.CHUNK])):
            table[one.version.adapter.team_id].append(one)
    return table


def _version(one: staleness.Stale, reason: StaleReason) -> dict[str, Any]:
    why = next((each for each in one.reasons if each.reason == reason), one.reasons[0])
    return {
        "adapter": one.version.adapter.address,
        "version": one.version.number,
        "change": why.change,
        "from": why.left,
        "to": why.right,
        "clients": [client.address for client in one.clients],
    }


def _hit(event: AuditEvent) -> QuerySet[AdapterVersion]:
    name, _, number = event.object.partition(":")[2].rpartition("@")
    rows = staleness.that_matter()
    if event.action == "base_version.activate":
        former = (event.before or {}).get("current") or 0
        line = rows.filter(base_version__base_model__name=name)
        return line.filter(base_version__number__gte=former, base_version__number__lt=int(number))
    if event.action in ("base_version.deprecate", "base_version.retire"):
        return rows.filter(base_version__base_model__name=name, base_version__number=int(number))
    team, _, dataset = name.partition("/")
    trained = DatasetVersion.objects.filter(dataset__team__slug=team, dataset__name=dataset)
    if event.action == "dataset_version.withdraw":
        return rows.filter(dataset_version__in=trained.filter(number=int(number)))
    return rows.filter(dataset_version__in=_just_behind(trained, int(number)))


def _just_behind(versions: QuerySet[DatasetVersion], number: int) -> QuerySet[DatasetVersion]:
    """Those for which `number` is the first newer one that is ready."""
    ready = versions.filter(status=DatasetStatus.READY)
    if ready.filter(number__gt=number).exists():
        return versions.none()
    former = ready.filter(number__lt=number).order_by("-number").values_list("number", flat=True).first()
    return versions.filter(number__gte=former or 0, number__lt=number)
