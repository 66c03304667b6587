"""What is stale, why, since when, and who is hit. Computed by queries, never stored.

Stale is said of the versions that matter: those that an alias or an open assignment reaches, and each
adapter's current one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.utils import timezone

from registry.access import Act, Caller, fetch, visible
from registry.choices import BaseChange, BaseStatus, DatasetStatus, StaleReason, VersionStatus
from registry.models import (
    Adapter,
    AdapterVersion,
    Alias,
    Assignment,
    BaseVersion,
    Client,
    DatasetVersion,
    Waiver,
)

GRAVITY = list(BaseChange.values)
Lines = dict[int, list[BaseVersion]]  # the activated versions of each base model, in order
Newest = dict[int, DatasetVersion]  # the highest ready version of each dataset
V = TypeVar("V", BaseVersion, DatasetVersion)
CHUNK = 5000  # ids in one query: SQLite takes 32,766 parameters


@dataclass(frozen=True)
class Reason:
    """`change` is the gravest of the base changes in between; `since` when the reason came to be."""

    reason: str
    change: str | None
    left: str
    right: str | None
    since: datetime | None


@dataclass
class Stale:
    version: AdapterVersion
    reasons: list[Reason]
    clients: list[Client] = field(default_factory=list)
    waiver: Waiver | None = None

    @property
    def waived_until(self) -> datetime | None:
        return self.waiver.until if self.waiver else None


def that_matter() -> QuerySet[AdapterVersion]:
    """Versions that an alias or an open assignment reaches, and each adapter's current one."""
    return _mattering().all()


@cache  # putting it together costs more than asking, and the database knows what time it is
def _mattering() -> QuerySet[AdapterVersion]:
    unended = Assignment.objects.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=Now()))
    living = Alias.objects.filter(deleted_at__isnull=True)
    highest = (
        AdapterVersion.objects.filter(adapter=OuterRef("adapter"), status=VersionStatus.READY)
        .order_by("-number")
        .values("pk")[:1]
    )
    return AdapterVersion.objects.filter(status=VersionStatus.READY).filter(
        Exists(living.filter(version=OuterRef("pk")))
        | Exists(unended.filter(version=OuterRef("pk")))
        | Exists(unended.filter(canary_version=OuterRef("pk")))
        | (~Exists(living.filter(adapter=OuterRef("adapter"), name="production")) & Q(pk=Subquery(highest)))
    )


def suspects(versions: QuerySet[AdapterVersion]) -> QuerySet[AdapterVersion]:
    """Those of `versions` that have at least one reason, decided in SQL."""
    return versions.filter(_suspicion())


@cache
def _suspicion() -> Q:
    superseded = Q(base_model__current__number__gt=F("number"))
    ended = Q(status__in=[BaseStatus.DEPRECATED, BaseStatus.RETIRED])
    newer = DatasetVersion.objects.filter(
        dataset=OuterRef("dataset_version__dataset"),
        number__gt=OuterRef("dataset_version__number"),
        status=DatasetStatus.READY,
    )
    return (
        # A list of base versions, which are few, is asked for once and not for each of the versions.
        Q(base_version__in=BaseVersion.objects.filter(superseded | ended).values("pk"))
        | Q(dataset_version__status=DatasetStatus.WITHDRAWN)
        | Q(Exists(newer))
    )


def listing(by: Caller, *, team: str | None = None, base_model: str | None = None) -> list[Stale]:
    """Every stale version that the caller may see, gravest and longest-standing first."""
    rows = visible(by, suspects(that_matter()), team="adapter__team")
    if team:
        rows = rows.filter(adapter__team__slug=team)
    if base_model:
        rows = rows.filter(base_version__base_model__name=base_model)
    return of(rows)


def adapters(by: Caller, *, team: str = "", base_model: str = "") -> QuerySet[Adapter]:
    """Those with a stale version: a page of them is found without reading all, one of versions would be sorted."""
    rows = visible(by, Adapter.objects.filter(Exists(suspects(that_matter()).filter(adapter=OuterRef("pk")))))
    exact = {"team__slug": team, "base_model__name": base_model}
    return rows.filter(**{column: value for column, value in exact.items() if value})


def of_adapters(rows: Iterable[Adapter]) -> list[Stale]:
    """Their stale versions, gravest first."""
    return of(suspects(that_matter().filter(adapter__in=[row.pk for row in rows])))


def of(rows: QuerySet[AdapterVersion]) -> list[Stale]:
    """The reasons, clients and waivers of `rows`, in a constant number of queries."""
    versions = list(named(rows).order_by("adapter__team__slug", "adapter__name", "number"))
    reasons = reasons_for(versions)
    hit = clients_of(versions)
    waived = _waivers(versions)
    found = [Stale(v, reasons[v.pk], hit.get(v.pk, []), waived.get(v.pk)) for v in versions if v.pk in reasons]
    return sorted(found, key=_gravity)


def named(rows: QuerySet[AdapterVersion]) -> QuerySet[AdapterVersion]:
    """With all that the reasons need to be told."""
    related = rows.select_related("adapter__team", "base_version__base_model", "dataset_version__dataset__team")
    return related.defer("probe", "target_modules", "base_version__module_table", "dataset_version__report")


def sharing(rows: QuerySet[AdapterVersion]) -> tuple[list[AdapterVersion], dict[int, list[Reason]]]:
    """`rows`, and the reasons against each. Bases and datasets, which many share, are read once."""
    versions = list(rows.only("number", "adapter", "base_version", "dataset_version"))
    bases = _all_of(_bases(), "base_model", {v.base_version_id for v in versions})
    datasets = _all_of(_datasets(), "dataset", {v.dataset_version_id for v in versions if v.dataset_version_id})
    for version in versions:
        version.base_version = bases[version.base_version_id]
        version.dataset_version = datasets.get(version.dataset_version_id or 0)
    return versions, _reasons(versions, _by_model(bases.values()), _newest(datasets.values()))


def _all_of(rows: QuerySet[V], parent: str, ids: set[int]) -> dict[int, V]:
    """All versions of whatever has one of the versions `ids`, in order, by their ids."""
    parents = rows.model._default_manager.filter(pk__in=ids).values(parent)
    return {row.pk: row for row in rows.filter(**{f"{parent}__in": parents})} if ids else {}


@cache
def _bases() -> QuerySet[BaseVersion]:
    told = ("number", "status", "change", "activated_at", "ended_at", "base_model__name", "base_model__current")
    return BaseVersion.objects.select_related("base_model").only(*told).order_by("number")


@cache
def _datasets() -> QuerySet[DatasetVersion]:
    told = ("number", "status", "status_at", "created_at", "dataset__name", "dataset__team__slug")
    return DatasetVersion.objects.select_related("dataset__team").only(*told).order_by("number")


def reasons_for(versions: Sequence[AdapterVersion]) -> dict[int, list[Reason]]:
    """What speaks against each of the versions, whether it matters or not; nothing is asked for what is fresh."""
    bases = _base_versions(v for v in versions if _left_behind(v))
    return _reasons(versions, bases, _newest_datasets(versions))


def _reasons(versions: Iterable[AdapterVersion], bases: Lines, datasets: Newest) -> dict[int, list[Reason]]:
    table = {v.pk: [*_base_reasons(v, bases), *_dataset_reasons(v, datasets)] for v in versions}
    return {pk: reasons for pk, reasons in table.items() if reasons}


def _left_behind(version: AdapterVersion) -> bool:
    base = version.base_version
    return base.base_model.current_id != base.pk or base.status in (BaseStatus.DEPRECATED, BaseStatus.RETIRED)


def _gravity(stale: Stale) -> tuple[bool, int, int]:
    changes = [GRAVITY.index(r.change) for r in stale.reasons if r.change]
    return (stale.waived_until is not None, -max(changes, default=0), -len(stale.clients))


def of_versions(ids: Iterable[int]) -> list[Stale]:
    """Those of the versions `ids` that matter and are stale."""
    return of(suspects(that_matter().filter(pk__in=list(ids))))


def of_adapter(adapter: Adapter) -> list[Stale]:
    """The stale versions of one adapter that the caller was let to see."""
    return of(suspects(that_matter().filter(adapter=adapter)))


def reasons_of(version: AdapterVersion) -> list[Reason]:
    """Why one version is stale; empty where it is fresh or doesn't matter."""
    found = of(suspects(that_matter().filter(pk=version.pk)))
    return found[0].reasons if found else []


def _base_versions(versions: Iterable[AdapterVersion]) -> Lines:
    models = {v.base_version.base_model_id for v in versions}
    rows = BaseVersion.objects.filter(base_model__in=models).order_by("number")
    return _by_model(rows.only("base_model", "number", "change", "activated_at") if models else ())


def _by_model(rows: Iterable[BaseVersion]) -> Lines:
    table: Lines = defaultdict(list)
    for row in rows:
        if row.activated_at is not None:
            table[row.base_model_id].append(row)
    return table


def _base_reasons(version: AdapterVersion, table: Lines) -> list[Reason]:
    base, reasons = version.base_version, []
    name = base.base_model.name
    line = table.get(base.base_model_id, [])
    current = next((b for b in line if b.pk == base.base_model.current_id), None)
    if current is not None and current.number > base.number:
        between = [b for b in line if base.number < b.number <= current.number]
        change = max((b.change for b in between), key=GRAVITY.index, default=str(BaseChange.NONE))
        since = min((b.activated_at for b in between if b.activated_at), default=None)
        right = f"{name}@{current.number}"
        reasons.append(Reason(StaleReason.BASE_SUPERSEDED, change, f"{name}@{base.number}", right, since))
    for status, reason in (
        (BaseStatus.DEPRECATED, StaleReason.BASE_DEPRECATED),
        (BaseStatus.RETIRED, StaleReason.BASE_RETIRED),
    ):
        if base.status == status:
            now = f"{name}@{current.number}" if current else None
            reasons.append(Reason(reason, None, f"{name}@{base.number}", now, base.ended_at))
    return reasons


def _newest_datasets(versions: Iterable[AdapterVersion]) -> Newest:
    ids = {v.dataset_version.dataset_id for v in versions if v.dataset_version}
    rows = DatasetVersion.objects.filter(dataset__in=ids, status=DatasetStatus.READY).order_by("number")
    return _newest(rows.only("dataset", "number", "status", "status_at", "created_at") if ids else ())


def _newest(rows: Iterable[DatasetVersion]) -> Newest:
    return {row.dataset_id: row for row in rows if row.status == DatasetStatus.READY}


def _dataset_reasons(version: AdapterVersion, newest: Newest) -> list[Reason]:
    trained, reasons = version.dataset_version, []
    if trained is None:
        return []
    latest = newest.get(trained.dataset_id)
    right = f"{trained.dataset.address}@{latest.number}" if latest else None
    if latest is not None and latest.number > trained.number:
        since = latest.status_at or latest.created_at
        reasons.append(Reason(StaleReason.DATASET_SUPERSEDED, None, trained.address, right, since))
    if trained.status == DatasetStatus.WITHDRAWN:
        reasons.append(Reason(StaleReason.DATASET_WITHDRAWN, None, trained.address, right, trained.status_at))
    return reasons


def clients_of(versions: Iterable[AdapterVersion]) -> dict[int, list[Client]]:
    """The clients whose open assignments reach each version now, by version id."""
    ids = [v.pk for v in versions]
    table: dict[int, dict[int, Client]] = defaultdict(dict)
    for start in range(0, len(ids), CHUNK):
        _add_clients(ids[start : start + CHUNK], table)
    return {pk: sorted(clients.values(), key=lambda client: client.name) for pk, clients in table.items()}


def _add_clients(ids: list[int], table: dict[int, dict[int, Client]]) -> None:
    # The aliases first: an OR over two tables would read every assignment, one over columns has their indexes.
    aliases = dict(Alias.objects.filter(version__in=ids, deleted_at__isnull=True).values_list("pk", "version"))
    now = timezone.now()
    rows = (
        Assignment.objects.filter(Q(version__in=ids) | Q(alias__in=list(aliases)) | Q(canary_version__in=ids))
        .filter(valid_from__lte=now)
        .filter(Q(valid_to__isnull=True) | Q(valid_to__gt=now))
        .select_related("slot__client__team")
    )
    for row in rows:
        client = row.slot.client
        for pk in (row.version_id, aliases.get(row.alias_id or 0), row.canary_version_id):
            if pk is not None:
                table[pk][client.pk] = client


def waiver(by: Caller, act: Act, pk: int) -> Waiver:
    rows = Waiver.objects.select_related("version__adapter__team")
    return fetch(by, act, rows, team="version__adapter__team", pk=pk)


def _waivers(versions: Iterable[AdapterVersion]) -> dict[int, Waiver]:
    rows = Waiver.objects.filter(version__in=[v.pk for v in versions], until__gt=timezone.now()).order_by("until")
    return {row.version_id: row for row in rows}


def words(reason: Reason) -> dict[str, Any]:
    """As the API says it."""
    return {
        "reason": reason.reason,
        "change": reason.change,
        "from": reason.left,
        "to": reason.right,
        "since": reason.since,
    }
