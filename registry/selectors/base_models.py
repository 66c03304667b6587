"""Base models, and what changed between two of their versions."""

from __future__ import annotations

from typing import Protocol

from django.db.models import Count, Q, QuerySet

from registry.access import Act, Caller, require_scope
from registry.choices import SERVABLE_BASE_STATES, BaseChange, BaseStatus, VersionStatus
from registry.errors import NotFound
from registry.models import BaseModel, BaseVersion
from registry.selectors import addresses


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


def names(by: Caller) -> list[str]:
    return list(listing(by).order_by("name").values_list("name", flat=True))


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


def current_with(tokenizer_sha256: str) -> list[BaseVersion]:
    """The current base versions that read by this tokenizer."""
    rows = BaseVersion.objects.filter(current_of__isnull=False, tokenizer_sha256=tokenizer_sha256)
    return list(rows.select_related("base_model").defer("module_table").order_by("pk"))


def table(by: Caller, **filters: str) -> QuerySet[BaseModel]:
    """With `version_count` and `adapter_count`."""
    counted = {
        "version_count": Count("versions", distinct=True),
        "adapter_count": Count("adapters", distinct=True),
    }
    return listing(by, **filters).annotate(**counted).order_by("name")


def timeline(by: Caller, base: BaseModel) -> QuerySet[BaseVersion]:
    """Newest first, with `ready_count`: the ready adapter versions that stand on each."""
    ready = Count("adapter_versions", filter=Q(adapter_versions__status=VersionStatus.READY), distinct=True)
    return versions(by, base).defer("module_table").annotate(ready_count=ready).order_by("-number")


def drafts(by: Caller, base: BaseModel) -> QuerySet[BaseVersion]:
    """What waits to be activated."""
    return versions(by, base, status=BaseStatus.DRAFT).select_related("base_model__current").order_by("number")


def unended(by: Caller, base: BaseModel) -> QuerySet[BaseVersion]:
    """Those whose state an administrator may change, newest first."""
    states = (BaseStatus.DRAFT, BaseStatus.ACTIVE, BaseStatus.DEPRECATED)
    return versions(by, base).filter(status__in=states).defer("module_table").order_by("-number")


def servable(by: Caller, base: BaseModel | None = None) -> QuerySet[BaseVersion]:
    """What adapters may stand on, of one base model or of all; newest first."""
    require_scope(by, Act.READ)
    rows = BaseVersion.objects.filter(status__in=SERVABLE_BASE_STATES).select_related("base_model")
    rows = rows.filter(base_model=base) if base is not None else rows
    return rows.defer("module_table").order_by("base_model__name", "-number")
