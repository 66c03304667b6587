"""Datasets, their versions and a look into their rows."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from registry.access import Act, Caller, fetch, visible
from registry.choices import DatasetStatus
from registry.errors import Conflict, NotFound
from registry.models import AdapterVersion, Dataset, DatasetVersion
from registry.selectors import addresses, stored

ORDERS = ("name", "-name", "created_at", "-created_at", "vertical", "-vertical")


def listing(by: Caller, *, team: str = "", vertical: str = "", status: str = "", q: str = "") -> QuerySet[Dataset]:
    """What the caller may read; `status` is that of any of its versions."""
    rows = visible(by, _datasets())
    rows = rows.filter(team__slug=team) if team else rows
    rows = rows.filter(vertical=vertical) if vertical else rows
    rows = rows.filter(name__icontains=q) if q else rows
    if status:
        rows = rows.filter(Exists(DatasetVersion.objects.filter(dataset=OuterRef("pk"), status=status)))
    return rows


def verticals(by: Caller) -> list[str]:
    """Those that the caller's datasets are of."""
    rows = visible(by, Dataset.objects.all()).order_by("vertical")
    return list(rows.values_list("vertical", flat=True).distinct())


def one(by: Caller, act: Act, team: str, name: str) -> Dataset:
    return fetch(by, act, _datasets(), team__slug=team, name=name)


def _datasets() -> QuerySet[Dataset]:
    """With `latest`, the number of the highest ready version."""
    ready = DatasetVersion.objects.filter(dataset=OuterRef("pk"), status=DatasetStatus.READY).order_by("-number")
    return Dataset.objects.select_related("team").annotate(latest=Subquery(ready.values("number")[:1]))


def versions(by: Caller, dataset: Dataset, *, status: str = "") -> QuerySet[DatasetVersion]:
    rows = visible(by, _versions(), team="dataset__team").filter(dataset=dataset)
    return rows.filter(status=status) if status else rows


def version(by: Caller, act: Act, team: str, name: str, number: int) -> DatasetVersion:
    dataset = one(by, act, team, name)
    found = _versions().filter(dataset=dataset, number=min(number, addresses.LARGEST)).first()
    if found is None:
        raise NotFound(f"No such dataset version: {dataset.address}@{number}.")
    return found


def _versions() -> QuerySet[DatasetVersion]:
    related = ("dataset__team", "job", "manifest", "source", "created_by")
    return DatasetVersion.objects.select_related(*related).prefetch_related("tokens")


def newest_of_others(version_: DatasetVersion) -> list[DatasetVersion]:
    """The highest ready version of each other dataset of the team."""
    ready = DatasetVersion.objects.filter(dataset=OuterRef("dataset"), status=DatasetStatus.READY)
    team = DatasetVersion.objects.filter(dataset__team=version_.dataset.team_id).exclude(
        dataset=version_.dataset_id
    )
    newest = team.filter(pk=Subquery(ready.order_by("-number").values("pk")[:1]))
    return list(newest.select_related("dataset__team", "manifest").order_by("dataset__name"))


def preview(version_: DatasetVersion, *, limit: int) -> list[dict[str, Any]]:
    """The first canonical rows, with their split; read from the store without reading the rest."""
    return [json.loads(line) for line in islice(stored.lines(rows_of(version_)), limit)]


def rows_of(version_: DatasetVersion) -> str:
    """The digest of the canonical rows. Raises Conflict where there are none."""
    if version_.manifest is None or version_.status == DatasetStatus.WITHDRAWN:
        raise Conflict(f"{version_.address} is {version_.status} and has no rows to show.", code="no_rows")
    return version_.manifest.entries.get(path="rows.jsonl").artifact_id


def used_by(by: Caller, version_: DatasetVersion) -> QuerySet[AdapterVersion]:
    """What was trained on it, newest first."""
    rows = visible(by, AdapterVersion.objects.filter(dataset_version=version_), team="adapter__team")
    return rows.select_related("adapter__team").order_by("-pk")
