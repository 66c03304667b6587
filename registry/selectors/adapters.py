"""Adapters and their versions, with what a page or a script needs of them in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch, QuerySet, Subquery

from registry.access import Act, Caller, fetch, visible
from registry.choices import VersionStatus
from registry.errors import Conflict, NotFound
from registry.models import Adapter, AdapterVersion, Alias, Evaluation
from registry.selectors import addresses, staleness

DOWNLOADABLE = (VersionStatus.READY, VersionStatus.ARCHIVED)
ORDERS = ("name", "-name", "created_at", "-created_at")


def listing(
    by: Caller,
    *,
    team: str = "",
    vertical: str = "",
    base_model: str = "",
    status: str = "",
    stale: bool | None = None,
    label: tuple[str, str] | None = None,
    q: str = "",
) -> QuerySet[Adapter]:
    """What the caller may read; `status` is that of any of its versions, `stale` of any that matters."""
    rows = visible(by, _adapters())
    exact = {"team__slug": team, "vertical": vertical, "base_model__name": base_model, "name__icontains": q}
    rows = rows.filter(**{column: value for column, value in exact.items() if value})
    if status:
        rows = rows.filter(Exists(AdapterVersion.objects.filter(adapter=OuterRef("pk"), status=status)))
    if label:
        rows = rows.filter(labels__key=label[0], labels__value=label[1])
    if stale is not None:
        suspect = Exists(staleness.suspects(staleness.that_matter()).filter(adapter=OuterRef("pk")))
        rows = rows.filter(suspect if stale else ~suspect)
    return rows


def one(by: Caller, act: Act, team: str, name: str) -> Adapter:
    return fetch(by, act, _adapters(), team__slug=team, name=name)


def versions(by: Caller, adapter: Adapter, *, status: str = "") -> QuerySet[AdapterVersion]:
    rows = visible(by, _versions(), team="adapter__team").filter(adapter=adapter)
    return rows.filter(status=status) if status else rows


def version(by: Caller, act: Act, team: str, name: str, ref: str) -> AdapterVersion:
    """`ref` is a number or `@alias`."""
    adapter = addresses.adapter_of(by, act, team, name)
    if ref.startswith("@"):
        found = addresses.version_of(adapter, alias=ref[1:])
    elif ref.isascii() and ref.isdigit():
        found = addresses.version_of(adapter, number=min(int(ref[:12]), addresses.LARGEST))
    else:
        raise NotFound(f"{ref!r} is no version; write its number or @alias.")
    return _versions().get(pk=found.pk)


def stale_reasons(rows: Iterable[AdapterVersion]) -> dict[int, list[dict[str, Any]]]:
    """Why each of the versions is stale, by its id; fresh ones are left out."""
    ids = [row.pk for row in rows]
    found = staleness.of(staleness.suspects(staleness.that_matter().filter(pk__in=ids)))
    return {one.version.pk: [staleness.words(reason) for reason in one.reasons] for one in found}


def stale_adapters(rows: Iterable[Adapter]) -> dict[int, list[dict[str, Any]]]:
    """Why any version of each adapter that matters is stale, by the adapter's id."""
    ids = [row.pk for row in rows]
    table: dict[int, list[dict[str, Any]]] = {}
    for one in staleness.of(staleness.suspects(staleness.that_matter().filter(adapter__in=ids))):
        words = [{"version": one.version.number, **staleness.words(reason)} for reason in one.reasons]
        table.setdefault(one.version.adapter_id, []).extend(words)
    return table


def file(version_: AdapterVersion, path: str) -> tuple[str, int]:
    """Digest and size of one file of a version. Raises NotFound, or Conflict where it may not be had."""
    files = downloadable(version_)
    if path not in files:
        raise NotFound(f"{version_.address} has no file {path}; it has {', '.join(files)}.")
    return str(files[path]["sha256"]), int(files[path]["size"])


def downloadable(version_: AdapterVersion) -> dict[str, dict[str, str | int]]:
    """The files of a version that was checked and is not withdrawn or quarantined."""
    if version_.status not in DOWNLOADABLE:
        text = f"{version_.address} is {version_.status}; its files can't be downloaded."
        raise Conflict(text, code="not_downloadable")
    return version_.manifest.files


def _adapters() -> QuerySet[Adapter]:
    """With `highest`, the number of the highest ready version, and `production`, that of the alias."""
    ready = AdapterVersion.objects.filter(adapter=OuterRef("pk"), status=VersionStatus.READY).order_by("-number")
    production = Alias.objects.filter(adapter=OuterRef("pk"), name="production", deleted_at__isnull=True)
    living = Alias.objects.filter(deleted_at__isnull=True).select_related("version").order_by("name")
    return (
        Adapter.objects.select_related("team", "base_model")
        .prefetch_related("labels", Prefetch("aliases", living, to_attr="living_aliases"))
        .annotate(
            highest=Subquery(ready.values("number")[:1]),
            production=Subquery(production.values("version__number")[:1]),
        )
    )


def _versions() -> QuerySet[AdapterVersion]:
    living = Alias.objects.filter(deleted_at__isnull=True).order_by("name")
    measured = Evaluation.objects.select_related("on_base__base_model", "dataset_version__dataset__team").defer(
        "on_base__module_table"
    )
    return (
        AdapterVersion.objects.select_related(
            "adapter__team",
            "adapter__base_model",
            "base_version__base_model",
            "dataset_version__dataset__team",
            "job",
            "manifest",
            "created_by",
        )
        .defer("base_version__module_table")
        .prefetch_related(
            "manifest__entries__artifact",
            Prefetch("aliases", living, to_attr="living_aliases"),
            Prefetch("evaluations", measured.order_by("pk")),
        )
    )
