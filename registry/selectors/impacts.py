"""Whom a base version would touch: a number of queries that doesn't grow, counts of all, names of the first."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, Max, OuterRef, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require_scope, seen_teams
from registry.choices import BaseStatus, JobState, VersionStatus
from registry.models import Adapter, AdapterVersion, Alias, BaseVersion, Client, Job, Receipt, TrainingSpec
from registry.selectors import use
from registry.selectors.base_models import change_between

RECENT = timedelta(days=7)
MOST_NAMED = 200  # as many as a page of a list has at most; the counts say how many there are


@dataclass(frozen=True)
class Impact:
    """What activating a version means: names of the caller's own, counts of the others'."""

    change: str
    adapters: list[dict[str, Any]]
    adapter_count: int
    clients: list[str]
    client_count: int
    other_adapters: int
    other_clients: int
    requests_7d: int
    estimated_device_seconds: float
    estimated_cost: float


def of(by: Caller, version_: BaseVersion) -> Impact:
    """Adapters of this base model that are not on this version, their clients, and what retraining would cost."""
    require_scope(by, Act.READ)
    mine = set(seen_teams(by).values_list("pk", flat=True))
    touched = _touched(version_)
    own = touched.filter(team__in=mine)
    adapters = _by_team(touched.values_list("team").annotate(count=Count("pk")))
    clients = _by_team(_clients(touched).values_list("team").annotate(count=Count("pk")))
    seconds = _training_seconds(own)
    return Impact(
        change=_change_for(version_),
        adapters=_named(own),
        adapter_count=sum(adapters[team] for team in mine),
        clients=sorted(row.address for row in _clients(own).select_related("team").order_by("name")[:MOST_NAMED]),
        client_count=sum(clients[team] for team in mine),
        other_adapters=sum(count for team, count in adapters.items() if team not in mine),
        other_clients=sum(count for team, count in clients.items() if team not in mine),
        requests_7d=_requests(own),
        estimated_device_seconds=seconds,
        estimated_cost=round(seconds / 3600 * settings.DEVICE_HOUR_PRICE, 4),
    )


def _touched(version_: BaseVersion) -> QuerySet[Adapter]:
    ready = AdapterVersion.objects.filter(adapter=OuterRef("pk"), status=VersionStatus.READY)
    rows = Adapter.objects.filter(Exists(ready), base_model=version_.base_model_id)
    if version_.adapter_versions.filter(status=VersionStatus.READY).exists():  # never of a draft
        rows = rows.filter(~Exists(ready.filter(base_version=version_)))
    return rows


def _clients(adapters: QuerySet[Adapter]) -> QuerySet[Client]:
    """Those with an open assignment to any of the adapters."""
    assigned = use.open_assignments().filter(adapter__in=adapters.values("pk")).order_by()
    return Client.objects.filter(pk__in=assigned.values("slot__client"))


def _by_team(rows: Any) -> dict[int, int]:
    return defaultdict(int, dict(rows))


def _named(adapters: QuerySet[Adapter]) -> list[dict[str, Any]]:
    """The first of them by name, each with its current version and the aliases on it."""
    rows = list(adapters.select_related("team").order_by("team__slug", "name")[:MOST_NAMED])
    ready = AdapterVersion.objects.filter(adapter__in=rows, status=VersionStatus.READY).order_by("number")
    aliases = Alias.objects.filter(adapter__in=rows, deleted_at__isnull=True).order_by("name")
    current = {version.adapter_id: version for version in _light(ready)}
    names: dict[int, list[str]] = defaultdict(list)
    for adapter, name in aliases.values_list("adapter", "name"):
        names[adapter].append(name)
    production = _light(AdapterVersion.objects.filter(pk__in=aliases.filter(name="production").values("version")))
    current |= {version.adapter_id: version for version in production}
    return [_words(row, current[row.pk], names[row.pk]) for row in rows]


def _light(rows: QuerySet[AdapterVersion]) -> QuerySet[AdapterVersion]:
    return rows.select_related("base_version__base_model").only(
        "adapter", "number", "base_version__number", "base_version__base_model__name"
    )


def _words(adapter: Adapter, current: AdapterVersion, aliases: list[str]) -> dict[str, Any]:
    base = current.base_version.address
    return {"adapter": adapter.address, "version": current.number, "base": base, "aliases": aliases}


def _requests(adapters: QuerySet[Adapter]) -> int:
    """Of their clients, in the last days."""
    since = timezone.now() - RECENT
    return Receipt.objects.filter(client__in=_clients(adapters).values("pk"), at__gte=since).count()


def _change_for(version_: BaseVersion) -> str:
    """Against what adapters stand on today; the recorded change where nothing is current yet."""
    current = version_.base_model.current
    if current is None or current.pk == version_.pk or version_.status != BaseStatus.DRAFT:
        return version_.change
    return change_between(current, version_)


def _training_seconds(adapters: QuerySet[Adapter]) -> float:
    """What each adapter's last training took."""
    done = TrainingSpec.objects.filter(adapter__in=adapters.values("pk"), job__state=JobState.SUCCEEDED)
    last = done.order_by().values("adapter").annotate(last=Max("job")).values("last")
    costs = Job.objects.filter(pk__in=last).values_list("cost", flat=True)
    return round(sum(float(cost.get("device_seconds") or 0) for cost in costs), 3)
