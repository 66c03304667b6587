"""Base models, what changed between two of their versions, and whom a draft would touch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require_scope, seen_teams
from registry.choices import BaseChange, BaseStatus, JobKind, JobState, VersionStatus
from registry.errors import NotFound
from registry.models import Adapter, BaseModel, BaseVersion, Job, Receipt
from registry.selectors import addresses, use

RECENT = timedelta(days=7)


class Fingerprints(Protocol):
    """What two base versions are compared by."""

    @property
    def shape_fingerprint(self) -> str: ...
    @property
    def tokenizer_sha256(self) -> str: ...
    @property
    def weights_sha256(self) -> str: ...
    @property
    def chat_template_sha256(self) -> str: ...


def listing(by: Caller, *, q: str = "") -> QuerySet[BaseModel]:
    """All of them: base models are shared."""
    require_scope(by, Act.READ)
    rows = BaseModel.objects.select_related("current")
    return rows.filter(name__icontains=q) if q else rows


def one(by: Caller, name: str) -> BaseModel:
    require_scope(by, Act.READ)
    return addresses.base_model(name)


def versions(by: Caller, base: BaseModel, *, status: str = "") -> QuerySet[BaseVersion]:
    require_scope(by, Act.READ)
    rows = BaseVersion.objects.filter(base_model=base).select_related("base_model", "job", "created_by")
    return rows.filter(status=status) if status else rows


def version(by: Caller, base: BaseModel, number: int) -> BaseVersion:
    found = versions(by, base).filter(number=min(number, addresses.LARGEST)).first()
    if found is None:
        raise NotFound(f"No such base version: {base.name}@{number}.")
    return found


def predecessor(version_: BaseVersion) -> BaseVersion | None:
    """The highest lower number that was ingested."""
    lower = BaseVersion.objects.filter(base_model=version_.base_model_id, number__lt=version_.number)
    return lower.exclude(status__in=(BaseStatus.INGESTING, BaseStatus.FAILED)).order_by("-number").first()


def change_between(old: Fingerprints, new: Fingerprints) -> BaseChange:
    """The gravest difference: shape > tokenizer > weights > template > none."""
    if old.shape_fingerprint != new.shape_fingerprint:
        return BaseChange.SHAPE
    if old.tokenizer_sha256 != new.tokenizer_sha256:
        return BaseChange.TOKENIZER
    if old.weights_sha256 != new.weights_sha256:
        return BaseChange.WEIGHTS
    if old.chat_template_sha256 != new.chat_template_sha256:
        return BaseChange.TEMPLATE
    return BaseChange.NONE


def distinct_tokenizers() -> list[BaseVersion]:
    """One current base version for each tokenizer that is in use."""
    current = BaseVersion.objects.filter(current_of__isnull=False, manifest__isnull=False)
    rows = current.select_related("base_model", "manifest").defer("module_table").order_by("pk")
    return list({row.tokenizer_sha256: row for row in rows}.values())


@dataclass(frozen=True)
class Impact:
    """What activating a version means: names of the caller's own, counts of the others'."""

    change: str
    adapters: list[dict[str, Any]]
    clients: list[str]
    other_adapters: int
    other_clients: int
    requests_7d: int
    estimated_device_seconds: float
    estimated_cost: float


def impact(by: Caller, version_: BaseVersion) -> Impact:
    """Adapters of this base model that are not on this version, their clients, and what retraining would cost."""
    require_scope(by, Act.READ)
    adapters = list(_touched(version_))
    mine = set(seen_teams(by).values_list("pk", flat=True))
    assigned = use.open_assignments().filter(adapter__in=adapters)
    clients = {one.slot.client for one in assigned}
    own_clients = [client for client in clients if client.team_id in mine]
    seconds = _training_seconds([adapter for adapter in adapters if adapter.team_id in mine])
    return Impact(
        change=_change_for(version_),
        adapters=[_of_adapter(adapter) for adapter in adapters if adapter.team_id in mine],
        clients=sorted(client.address for client in own_clients),
        other_adapters=sum(adapter.team_id not in mine for adapter in adapters),
        other_clients=len(clients) - len(own_clients),
        requests_7d=Receipt.objects.filter(client__in=own_clients, at__gte=timezone.now() - RECENT).count(),
        estimated_device_seconds=seconds,
        estimated_cost=round(seconds / 3600 * settings.DEVICE_HOUR_PRICE, 4),
    )


def _touched(version_: BaseVersion) -> QuerySet[Adapter]:
    ready = Adapter.objects.filter(base_model=version_.base_model_id, versions__status=VersionStatus.READY)
    elsewhere = ready.exclude(versions__in=version_.adapter_versions.filter(status=VersionStatus.READY))
    return elsewhere.distinct().select_related("team").order_by("team__slug", "name")


def _change_for(version_: BaseVersion) -> str:
    """Against what adapters stand on today; the recorded change where nothing is current yet."""
    current = version_.base_model.current
    if current is None or current.pk == version_.pk or version_.status != BaseStatus.DRAFT:
        return version_.change
    return change_between(current, version_)


def _of_adapter(adapter: Adapter) -> dict[str, Any]:
    current = addresses.current_version(adapter)
    base = current.base_version.address if current else None
    return {"adapter": adapter.address, "version": current.number if current else None, "base": base}


def _training_seconds(adapters: list[Adapter]) -> float:
    """What each adapter's last training took."""
    total = 0.0
    for adapter in adapters:
        done = Job.objects.filter(kind=JobKind.TRAIN, state=JobState.SUCCEEDED, training__adapter=adapter)
        last = done.order_by("-pk").first()
        total += float((last.cost if last else {}).get("device_seconds") or 0)
    return round(total, 3)


def table(by: Caller) -> QuerySet[BaseModel]:
    """With `version_count` and `adapter_count`."""
    counted = {
        "version_count": Count("versions", distinct=True),
        "adapter_count": Count("adapters", distinct=True),
    }
    return listing(by).annotate(**counted).order_by("name")


def timeline(by: Caller, base: BaseModel) -> QuerySet[BaseVersion]:
    """Newest first, with `ready_count`: the ready adapter versions that stand on each."""
    ready = Count("adapter_versions", filter=Q(adapter_versions__status=VersionStatus.READY), distinct=True)
    return versions(by, base).defer("module_table").annotate(ready_count=ready).order_by("-number")


def drafts(by: Caller, base: BaseModel) -> QuerySet[BaseVersion]:
    """What waits to be activated."""
    return versions(by, base, status=BaseStatus.DRAFT).select_related("base_model__current").order_by("number")
