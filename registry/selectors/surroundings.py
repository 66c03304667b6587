"""What stands around a page of adapters or versions, asked for once and as plain values.

Rows of the ORM cost more than asking for them, and no question is asked of the registry more often.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.db.models import QuerySet

from registry.choices import VersionStatus
from registry.models import (
    Adapter,
    AdapterLabel,
    AdapterVersion,
    AdapterVersionLabel,
    Alias,
    Evaluation,
    ManifestEntry,
)
from registry.selectors import staleness

Files = dict[str, dict[str, str | int]]
Reasons = list[dict[str, Any]]


@dataclass(frozen=True)
class OfAdapters:
    """Each by the adapter's id; what has none is left out."""

    labels: dict[int, dict[str, str]]
    aliases: dict[int, dict[str, int]]  # name -> number
    stale: dict[int, Reasons]  # why any version that matters is


def of_adapters(rows: Iterable[Adapter]) -> OfAdapters:
    ids = [row.pk for row in rows]
    labels: dict[int, dict[str, str]] = {}
    for pk, key, value in AdapterLabel.objects.filter(adapter__in=ids).values_list("adapter", "key", "value"):
        labels.setdefault(pk, {})[key] = value
    aliases: dict[int, dict[str, int]] = {}
    living = Alias.objects.filter(adapter__in=ids, deleted_at__isnull=True).order_by("name")
    for pk, name, number in living.values_list("adapter", "name", "version__number"):
        aliases.setdefault(pk, {})[name] = number
    return OfAdapters(labels, aliases, _stale_adapters(ids))


def _stale_adapters(ids: Sequence[int]) -> dict[int, Reasons]:
    found, reasons = staleness.sharing(staleness.suspects(staleness.that_matter().filter(adapter__in=ids)))
    table: dict[int, Reasons] = {}
    for one in found:
        words = [{"version": one.number, **staleness.words(reason)} for reason in reasons.get(one.pk, ())]
        table.setdefault(one.adapter_id, []).extend(words)
    return table


@dataclass(frozen=True)
class OfVersions:
    """`files` by the manifest's digest, the rest by the version's id; what has none is left out."""

    files: dict[str, Files]
    labels: dict[int, dict[str, str]] = field(default_factory=dict)
    aliases: dict[int, list[str]] = field(default_factory=dict)
    evaluations: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    stale: dict[int, Reasons] = field(default_factory=dict)


def of_versions(rows: Sequence[AdapterVersion]) -> OfVersions:
    ids = [row.pk for row in rows]
    labels: dict[int, dict[str, str]] = {}
    for pk, key, value in _labels().filter(version__in=ids):
        labels.setdefault(pk, {})[key] = value
    evaluations: dict[int, list[dict[str, Any]]] = {}
    for one in _evaluations().filter(adapter_version__in=ids):
        evaluations.setdefault(one["adapter_version"], []).append(_measured(one))
    aliases = aliases_of(rows)
    return OfVersions(_files(rows), labels, aliases, evaluations, _stale_versions(rows, aliases))


def of_new(version: AdapterVersion) -> OfVersions:
    """Of one that was just made: nothing hangs on it yet."""
    return OfVersions({version.manifest_id: version.manifest.files})


def aliases_of(rows: Iterable[AdapterVersion]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for pk, name in _aliases().filter(version__in=[row.pk for row in rows]):
        found.setdefault(pk, []).append(name)
    return found


def _files(rows: Iterable[AdapterVersion]) -> dict[str, Files]:
    """As `Manifest.files` says them."""
    found: dict[str, Files] = {row.manifest_id: {} for row in rows}
    for digest, path, sha256, size in _entries().filter(manifest__in=list(found)):
        found[digest][path] = {"sha256": sha256, "size": size}
    return found


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    dataset = f"{row['dataset_version__dataset__team__slug']}/{row['dataset_version__dataset__name']}"
    return {
        "id": str(row["pk"]),
        "on_base": f"{row['on_base__base_model__name']}@{row['on_base__number']}",
        "dataset": f"{dataset}@{row['dataset_version__number']}",
        **{name: row[name] for name in MEASURED},
    }


def _stale_versions(rows: Sequence[AdapterVersion], aliases: dict[int, list[str]]) -> dict[int, Reasons]:
    """Why each is stale; whether an unaliased one matters is asked only where something speaks against it."""
    suspect = staleness.reasons_for(rows)
    ready = {row.pk for row in rows if row.pk in suspect and row.status == VersionStatus.READY}
    mattering = ready & set(aliases)
    rest = ready - mattering
    if rest:
        mattering |= set(staleness.that_matter().filter(pk__in=rest).values_list("pk", flat=True))
    return {pk: [staleness.words(reason) for reason in suspect[pk]] for pk in mattering}


MEASURED = (
    "split", "state", "loss", "perplexity", "bits_per_byte", "token_accuracy", "checks", "rows", "tokens",
)  # fmt: skip
MEASURED_ON = (
    "on_base__number",
    "on_base__base_model__name",
    "dataset_version__number",
    "dataset_version__dataset__name",
    "dataset_version__dataset__team__slug",
)


# Putting these together costs as much as asking, so that it is done once; who asks narrows a copy.


@cache
def _labels() -> QuerySet[Any, Any]:
    return AdapterVersionLabel.objects.order_by("key").values_list("version", "key", "value")


@cache
def _aliases() -> QuerySet[Any, Any]:
    return Alias.objects.filter(deleted_at__isnull=True).order_by("name").values_list("version", "name")


@cache
def _entries() -> QuerySet[Any, Any]:
    return ManifestEntry.objects.order_by("path").values_list("manifest", "path", "artifact", "artifact__size")


@cache
def _evaluations() -> QuerySet[Any, Any]:
    rows: QuerySet[Any, Any] = Evaluation.objects.order_by("pk")
    return rows.values("pk", "adapter_version", *MEASURED, *MEASURED_ON)
