"""The search of everything: a few things of each kind whose address holds what was typed, the likeliest first.

One query for each kind, whatever there is. An address may name a version: `health/triage@3`, `triage@production`,
`notes@2`, `llama@1`; what stands after the `@` may be missing, which finds the newest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, CharField, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Concat

from registry.access import Act, Caller, require_scope, visible
from registry.models import (
    Adapter,
    AdapterVersion,
    Alias,
    BaseModel,
    BaseVersion,
    Client,
    Dataset,
    DatasetVersion,
    Job,
)
from registry.selectors import audit, jobs
from registry.selectors.addresses import LARGEST

MOST = 6
NEWEST = 200  # events of the record that the last things are taken from
JOB = re.compile(r"(?:job[\s:#]*)?([0-9]{1,18})")
WHOLE = {"alias": "adapter", "slot": "client"}  # what is part of something is shown with it
KINDS = ("adapter", "client", "job", "dataset", "base", "campaign")


def adapters(by: Caller, q: str) -> list[Adapter]:
    rows = visible(by, Adapter.objects.select_related("team"))
    return _holding(rows, q, "team__slug", "name", "vertical")


def clients(by: Caller, q: str) -> list[Client]:
    rows = visible(by, Client.objects.select_related("team").filter(builtin=False))
    return _holding(rows, q, "team__slug", "name", "vertical")


def datasets(by: Caller, q: str) -> list[Dataset]:
    return _holding(visible(by, Dataset.objects.select_related("team")), q, "team__slug", "name", "vertical")


def base_models(by: Caller, q: str) -> list[BaseModel]:
    require_scope(by, Act.READ)
    return _holding(BaseModel.objects.all(), q, "name", "family")


def found_jobs(by: Caller, q: str) -> list[Job]:
    """By its number, or by words that are its kind, its state, or stand in what it is about."""
    rows = jobs.listing(by).select_related(None).only("kind", "object", "state", "created_at")
    if number := JOB.fullmatch(q.lower()):
        return list(rows.filter(pk=int(number[1])))
    for word in q.split():
        about = Q(object__icontains=word) | Q(kind__istartswith=word) | Q(state=word.lower())
        rows = rows.filter(about)
    return list(rows.order_by("-pk")[:MOST])


def adapter_versions(by: Caller, q: str) -> list[AdapterVersion]:
    """By its number, or by an alias that points to it now."""
    named, at, ref = q.partition("@")
    if not at:
        return []
    rows = AdapterVersion.objects.select_related("adapter__team").defer("target_modules", "probe")
    if ref and not ref.isdecimal():
        pointing = Alias.objects.filter(name__startswith=ref, deleted_at__isnull=True)
        rows, ref = rows.filter(pk__in=pointing.values("version")), ""
    return _versions(visible(by, rows, team="adapter__team"), named, ref, "adapter")


def dataset_versions(by: Caller, q: str) -> list[DatasetVersion]:
    named, at, ref = q.partition("@")
    rows = DatasetVersion.objects.select_related("dataset__team").defer("report")
    return _versions(visible(by, rows, team="dataset__team"), named, ref, "dataset") if at else []


def base_versions(by: Caller, q: str) -> list[BaseVersion]:
    require_scope(by, Act.READ)
    named, at, ref = q.partition("@")
    rows = BaseVersion.objects.select_related("base_model").defer("module_table")
    return _versions(rows, named, ref, "base_model") if at else []


def _holding(rows: QuerySet[Any], q: str, *fields: str) -> list[Any]:
    """Those that hold every word in `a/b c` of the fields a, b and c."""
    marks = [Value("/" if fields[at + 1] == "name" else " ") for at in range(len(fields) - 1)]
    parts = [part for pair in zip(fields, [*marks, Value("")], strict=True) for part in pair]
    rows = rows.annotate(called=Concat(*parts, output_field=CharField()))
    for word in q.split():
        rows = rows.filter(called__icontains=word)
    return list(_likeliest(rows, q, "name").order_by("distance", "called", "pk")[:MOST])


def _versions(rows: QuerySet[Any], named: str, ref: str, parent: str) -> list[Any]:
    """Of what `named` holds, those of that number, or the newest."""
    team, slash, name = named.strip().rpartition("/")
    rows = rows.filter(**{f"{parent}__name__icontains": name})
    if slash and parent == "base_model":
        return []
    if slash:
        rows = rows.filter(**{f"{parent}__team__slug__iendswith": team})
    if ref:
        rows = rows.filter(number=min(int(ref), LARGEST)) if ref.isdecimal() else rows.none()
    found = _likeliest(rows, name, f"{parent}__name")
    return list(found.order_by("distance", f"{parent}__name", "-number", "pk")[:MOST])


def _likeliest(rows: QuerySet[Any], q: str, field: str) -> QuerySet[Any]:
    """With `distance`: 0 for the very name, 1 for one that begins so, 2 for others."""
    name = q.rpartition("/")[2]
    nearer = (When(**{f"{field}__iexact": name}, then=0), When(**{f"{field}__istartswith": name}, then=1))
    told: QuerySet[Any] = rows.annotate(distance=Case(*nearer, default=2, output_field=IntegerField()))
    return told


@dataclass(frozen=True)
class Touched:
    """Something as the record calls it, and the last thing that happened to it."""

    thing: str
    at: datetime
    actor: str
    action: str


def recent(by: Caller) -> list[Touched]:
    """What the caller acted on last, then what others did: read from the newest events that it may read."""
    rows = audit.listing(by, {}).values_list("at", "pk", "object", "actor", "action")
    touched: dict[str, Touched] = {}
    # By one column: those of one moment are told apart here, where it costs nothing.
    for at, _, obj, actor, action in sorted(rows.order_by("-at")[:NEWEST], reverse=True):
        thing = _whole(obj)
        if thing.partition(":")[0] in KINDS:
            before = touched.get(thing)
            if before is None or (actor == by.name != before.actor):
                touched[thing] = Touched(thing, at, actor, action)
    return sorted(touched.values(), key=lambda one: one.actor != by.name)[:MOST]


def _whole(obj: str) -> str:
    """`alias:health/triage@production` is shown as `adapter:health/triage`."""
    kind, _, name = obj.partition(":")
    if kind not in WHOLE:
        return obj
    return f"{WHOLE[kind]}:{'/'.join(name.partition('@')[0].split('/')[:2])}"
