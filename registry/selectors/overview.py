"""The figures of the first page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from registry.access import Caller, visible
from registry.choices import HELD_JOB_STATES, JobKind, JobState, VersionStatus
from registry.models import (
    Adapter,
    AdapterVersion,
    Alias,
    Assignment,
    BaseModel,
    Client,
    Dataset,
    Evaluation,
    Job,
    Receipt,
    ServingInstance,
    Worker,
)
from registry.selectors import adapters as selected
from registry.selectors import assignments, engines, health, serving, staleness, storage
from registry.selectors.staleness import Stale

REQUESTS_WITHIN = timedelta(hours=24)
ENGINE_AWAY = timedelta(seconds=30)


@dataclass
class Figures:
    """Counts and bytes, each over what the caller may see."""

    serving: int = 0
    bases: int = 0
    requests: int = 0
    running: int = 0
    queued: int = 0
    adapter_bytes: int = 0
    adapters: int = 0
    versions: int = 0
    saved_bytes: int = 0


@dataclass
class Attention:
    """What somebody should look at."""

    stale: list[Stale] = field(default_factory=list)
    failed_jobs: int = 0
    unassigned: list[Client] = field(default_factory=list)

    away: list[str] = field(default_factory=list)
    quarantined: list[AdapterVersion] = field(default_factory=list)
    damaged: int = 0  # artifacts of any team: administrators are told

    @property
    def clients_hit(self) -> int:
        return len({client.pk for row in self.stale for client in row.clients})

    @property
    def adapters_hit(self) -> int:
        """Two stale versions of one adapter need one retrain."""
        return len({row.version.adapter_id for row in self.stale})


@dataclass(frozen=True)
class Successor:
    """A ready version that waits to be promoted, with what it and the current one lose on the test split."""

    version: AdapterVersion
    loss: float | None
    current_loss: float | None


@dataclass(frozen=True)
class StaleBase:
    """How many adapters of a base model need a retrain."""

    name: str
    adapters: int


@dataclass
class AdapterRow:
    """One adapter as the tables show it: its current version, and in `state` what is being made of it, if any."""

    adapter: Adapter
    version: AdapterVersion | None
    state: str
    loss: float | None
    clients: list[Client]
    stale: Stale | None = None


def figures(by: Caller) -> Figures:
    living = list(engines.living())
    versions = visible(by, AdapterVersion.objects.filter(status=VersionStatus.READY), team="adapter__team")
    stored = versions.aggregate(bytes=Sum("bytes"), count=Count("pk"), adapters=Count("adapter", distinct=True))
    jobs = visible(by, Job.objects.filter(kind=JobKind.TRAIN))
    copies = versions.aggregate(parameters=Sum("base_version__parameter_count"))["parameters"] or 0
    since = timezone.now() - REQUESTS_WITHIN
    return Figures(
        serving=len({entry["version"] for engine in living for entry in serving.own(by, engine.loaded)}),
        bases=len({engine.base_version_id for engine in living}),
        requests=visible(by, Receipt.objects.filter(at__gte=since), team="client__team").count(),
        running=jobs.filter(state__in=HELD_JOB_STATES).count(),
        queued=jobs.filter(state=JobState.QUEUED).count(),
        adapter_bytes=stored["bytes"] or 0,
        adapters=stored["adapters"],
        versions=stored["count"],
        # A full copy in 16 bits for every version that is stored as an adapter.
        saved_bytes=max(0, 2 * copies - (stored["bytes"] or 0)),
    )


def attention(by: Caller) -> Attention:
    day = timezone.now() - timedelta(days=1)
    failed = visible(by, Job.objects.filter(state=JobState.FAILED, finished_at__gte=day, retries__isnull=True))
    open_now = assignments.at_time(Assignment.objects.all(), timezone.now()).values("slot__client")
    clients = visible(by, Client.objects.filter(builtin=False).select_related("team")).exclude(pk__in=open_now)
    stale = [row for row in staleness.listing(by) if row.waived_until is None]
    held_back = AdapterVersion.objects.filter(status=VersionStatus.QUARANTINED).select_related("adapter__team")
    quarantined = list(visible(by, held_back, team="adapter__team").order_by("pk")[:20])
    return Attention(stale, failed.count(), list(clients[:20]), away(), quarantined, storage.damaged(by))


def away() -> list[str]:
    """Workers and engines that were heard within a day, and not lately."""
    now = timezone.now()
    day = now - timedelta(days=1)
    workers = Worker.objects.filter(last_tick__gt=day, last_tick__lte=now - health.FRESH).order_by("name")
    silent = ServingInstance.objects.filter(last_tick__gt=day, last_tick__lte=now - ENGINE_AWAY)
    gone = [f"worker {worker.name}" for worker in workers]
    living = set(engines.living().values_list("base_version", flat=True))
    rows = silent.exclude(base_version__in=living).select_related("base_version__base_model").order_by("pk")
    return gone + [f"engine of {row.base_version.address}" for row in rows]


def stale_adapters(rows: list[Stale]) -> list[StaleBase]:
    """Base models with stale, unwaived adapters, and how many."""
    found: dict[str, set[int]] = {}
    for row in rows:
        if row.waived_until is None:
            found.setdefault(row.version.base_version.base_model.name, set()).add(row.version.adapter_id)
    return [StaleBase(name, len(adapters)) for name, adapters in sorted(found.items())]


def adapters(by: Caller, *, only_stale: bool = False, **filters: Any) -> QuerySet[Adapter]:
    """As they are listed everywhere, with their current version's id; what is waived isn't stale."""
    production = Alias.objects.filter(adapter=OuterRef("pk"), name="production", deleted_at__isnull=True)
    narrowed = {**filters, **({"stale": True, "waived": False} if only_stale else {})}
    rows = selected.listing(by, **narrowed).annotate(production_pk=Subquery(production.values("version")[:1]))
    highest = AdapterVersion.objects.filter(adapter=OuterRef("pk"), status=VersionStatus.READY).order_by("-number")
    return rows.annotate(highest_pk=Subquery(highest.values("pk")[:1])).order_by("team__slug", "name")


def verticals(by: Caller) -> list[str]:
    """Those that the caller's adapters are of."""
    rows = visible(by, Adapter.objects.all()).order_by("vertical")
    return list(rows.values_list("vertical", flat=True).distinct())


def table(rows: list[Adapter]) -> list[AdapterRow]:
    """The rows of an adapters table, in a constant number of queries."""
    wanted = [pk for row in rows if (pk := _current(row))]
    versions = AdapterVersion.objects.filter(pk__in=wanted).select_related(
        "adapter__team", "base_version__base_model"
    )
    by_pk = {version.pk: version for version in versions}
    stale = {s.version.pk: s for s in staleness.of(staleness.suspects(versions))}
    clients = staleness.clients_of(by_pk.values())
    measured = losses(list(by_pk))
    training = _training([row.pk for row in rows])
    return [
        AdapterRow(
            adapter=row,
            version=by_pk.get(_current(row) or 0),
            state=training.get(row.pk, "") or ("" if _current(row) else "empty"),
            loss=measured.get(_current(row) or 0),
            clients=clients.get(_current(row) or 0, []),
            stale=stale.get(_current(row) or 0),
        )
        for row in rows
    ]


def _current(row: Adapter) -> int | None:
    found: int | None = getattr(row, "production_pk", None) or getattr(row, "highest_pk", None)
    return found


def _training(pks: list[int]) -> dict[int, str]:
    """training or queued, for adapters that a job is at work on."""
    rows = Job.objects.filter(training__adapter__in=pks, state__in=(JobState.QUEUED, *HELD_JOB_STATES)).annotate(
        adapter=F("training__adapter")
    )
    found: dict[int, str] = {}
    for row in rows.values("adapter", "state"):
        state = "queued" if row["state"] == JobState.QUEUED else "training"
        found[row["adapter"]] = "training" if found.get(row["adapter"]) == "training" else state
    return found


def losses(pks: list[int]) -> dict[int, float]:
    """The latest test loss of each version on its own base."""
    rows = Evaluation.objects.filter(
        adapter_version__in=pks, loss__isnull=False, split="test", on_base=F("adapter_version__base_version")
    )
    own = rows.filter(dataset_version=F("adapter_version__dataset_version"))
    pairs = own.order_by("adapter_version__number", "pk").values_list("adapter_version", "loss")
    return {version: loss for version, loss in pairs if version is not None and loss is not None}


def successor(current: AdapterVersion | None, versions: QuerySet[AdapterVersion]) -> Successor | None:
    """The newest ready version after the current one, unless it was measured to be worse."""
    if current is None:
        return None
    newer = versions.filter(number__gt=current.number, status=VersionStatus.READY).order_by("-number").first()
    if newer is None:
        return None
    measured = losses([newer.pk, current.pk])
    new, old = measured.get(newer.pk), measured.get(current.pk)
    worse = new is not None and old is not None and new > old
    return None if worse else Successor(newer, new, old)


def counts(by: Caller) -> dict[str, int]:
    """What the navigation counts: six small queries."""
    stale = [row for row in staleness.listing(by) if row.waived_until is None]
    unfinished = Job.objects.filter(state__in=(JobState.QUEUED, *HELD_JOB_STATES))
    return {
        "adapters": visible(by, Adapter.objects.all()).count(),
        "stale": len({row.version.adapter_id for row in stale}),
        "jobs": visible(by, unfinished).count(),
        "clients": visible(by, Client.objects.filter(builtin=False)).count(),
        "bases": BaseModel.objects.count(),
        "datasets": visible(by, Dataset.objects.all()).count(),
    }
