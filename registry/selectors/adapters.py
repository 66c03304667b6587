"""Adapters and their versions, with what a page or a script needs of them in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django.utils import timezone

from registry.access import Act, Caller, fetch, visible
from registry.choices import VersionStatus
from registry.errors import Conflict, NotFound
from registry.models import Adapter, AdapterLabel, AdapterVersion, AdapterVersionLabel
from registry.selectors import addresses, searches, staleness
from registry.selectors.searches import Bound, Label

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
    waived: bool | None = None,
    label: Sequence[Label] = (),
    metric: Sequence[Bound] = (),
    q: str = "",
) -> QuerySet[Adapter]:
    """What the caller may read, within every filter.

    `status` and `metric` are those of any one of its versions, `stale` of any that matters, `waived` of any of
    these that is stale; `q` is text in its name, vertical, description or labels.
    """
    rows = visible(by, _adapters())
    rows = searches.exactly(rows, team__slug=team, vertical=vertical, base_model__name=base_model)
    if q:
        said = searches.label_says(AdapterLabel, "adapter", q)
        told = Q(name__icontains=q) | Q(vertical__icontains=q) | Q(description__icontains=q)
        rows = rows.filter(told | said)
    rows = searches.with_labels(rows, AdapterLabel, "adapter", label)
    if status or metric:
        of_it = searches.exactly(AdapterVersion.objects.filter(adapter=OuterRef("pk")), status=status)
        rows = rows.filter(Exists(searches.within(of_it, metric)))
    return _freshness(rows, stale, waived)


def _freshness(rows: QuerySet[Adapter], stale: bool | None, waived: bool | None) -> QuerySet[Adapter]:
    suspects = staleness.suspects(staleness.that_matter()).filter(adapter=OuterRef("pk"))
    if stale is not None:
        rows = rows.filter(Exists(suspects) if stale else ~Exists(suspects))
    if waived is not None:
        living = Q(waivers__until__gt=timezone.now())
        rows = rows.filter(Exists(suspects.filter(living) if waived else suspects.exclude(living)))
    return rows


def addressed(by: Caller, addresses_: Sequence[str]) -> list[Adapter]:
    """Those at `team/name`, in one query. Raises NotFound where one of them is missing."""
    named = Concat("team__slug", Value("/"), "name", output_field=CharField())
    rows = visible(by, _adapters()).annotate(named=named).filter(named__in=addresses_)
    found = {row.address: row for row in rows}
    for address in addresses_:
        if address not in found:
            raise NotFound(f"No such adapter: {address[:130]}.", param="adapters")
    return list(found.values())


def one(by: Caller, act: Act, team: str, name: str) -> Adapter:
    return fetch(by, act, _adapters(), team__slug=team, name=name)


def versions(
    by: Caller,
    adapter: Adapter | None = None,
    *,
    team: str = "",
    vertical: str = "",
    base_model: str = "",
    status: str = "",
    stale: bool | None = None,
    label: Sequence[Label] = (),
    metric: Sequence[Bound] = (),
    q: str = "",
) -> QuerySet[AdapterVersion]:
    """Those of one adapter, or of all that the caller may read; `q` is text in labels, dataset or adapter."""
    rows = visible(by, _versions(), team="adapter__team")
    of_adapter = {"adapter": adapter, "adapter__team__slug": team, "adapter__vertical": vertical}
    rows = searches.exactly(rows, **of_adapter, base_version__base_model__name=base_model, status=status)
    if q:
        said = searches.label_says(AdapterVersionLabel, "version", q) | Q(
            dataset_version__dataset__name__icontains=q
        )
        named = Q() if adapter else Q(adapter__name__icontains=q) | Q(adapter__description__icontains=q)
        rows = rows.filter(said | named)
    rows = searches.with_labels(rows, AdapterVersionLabel, "version", label)
    if stale is not None:
        suspects = Q(pk__in=staleness.suspects(staleness.that_matter()).values("pk"))
        rows = rows.filter(suspects if stale else ~suspects)
    return searches.within(rows, metric)


def version(by: Caller, act: Act, team: str, name: str, ref: str) -> AdapterVersion:
    """`ref` is a number or `@alias`."""
    if ref.startswith("@"):
        named: dict[str, Any] = {"aliases__name": ref[1:], "aliases__deleted_at__isnull": True}
    elif ref.isascii() and ref.isdigit():
        named = {"number": min(int(ref[:12]), addresses.LARGEST)}
    else:
        raise NotFound(f"{ref!r} is no version; write its number or @alias.")
    of_it = {"adapter__team__slug": team, "adapter__name": name, **named}
    try:
        return fetch(by, act, _versions(), team="adapter__team", **of_it)
    except NotFound:
        adapter = addresses.adapter_of(by, act, team, name)  # says so where the adapter is what is missing
        raise NotFound(f"No such adapter version: {adapter.address}@{ref.removeprefix('@')}.") from None


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


@cache  # putting it together costs as much as asking; whoever uses it narrows a copy
def _adapters() -> QuerySet[Adapter]:
    """With `highest`, the number of the highest ready version."""
    ready = AdapterVersion.objects.filter(adapter=OuterRef("pk"), status=VersionStatus.READY).order_by("-number")
    columns = (field.name for field in Adapter._meta.concrete_fields)
    rows = Adapter.objects.select_related("team", "base_model").only(*columns, "team__slug", "base_model__name")
    return rows.annotate(highest=Subquery(ready.values("number")[:1]))


# The columns that are told of what stands around a version: each costs, and no question is asked more often.
# Others load when they are asked for.
OWN = [field.name for field in AdapterVersion._meta.concrete_fields if field.name != "probe"]
AROUND = {
    "adapter": ("name", "team__slug", "base_model"),
    "base_version": ("number", "status", "ended_at", "parameter_count", "base_model__name", "base_model__current"),
    "dataset_version": ("number", "sha256", "status", "status_at", "dataset__name", "dataset__team__slug"),
    "job": ("state", "error", "progress"),
    "created_by": ("email",),
}


def _columns(around: dict[str, tuple[str, ...]]) -> list[str]:
    return [f"{row}__{column}" for row, columns in around.items() for column in columns]


@cache
def _versions() -> QuerySet[AdapterVersion]:
    related = ("adapter__team", "base_version__base_model", "dataset_version__dataset__team", "job", "created_by")
    return AdapterVersion.objects.select_related(*related).only(*OWN, *_columns(AROUND))
