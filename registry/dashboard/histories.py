"""Clients over time: who had a version, any version on a base, or any trained on a dataset, from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.access import Act
from registry.dashboard.callers import caller, page, paged
from registry.dashboard.moments import moment_of
from registry.errors import Invalid
from registry.selectors import actors, adapters, base_models, datasets, timeline

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import AdapterVersion


@dataclass(frozen=True)
class Asked:
    """What is asked about: its address, its page, its room, and where the API says the same."""

    address: str
    url: str
    room: str
    rooms: str
    rows: str
    had: str = ""


@page
def of_version(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    row = adapters.version(caller(request), Act.READ, team, name, str(number))
    asked = Asked(
        row.address,
        reverse("adapter-version", args=[team, name, number]),
        "adapters",
        "Adapters",
        f"/api/v1/adapters/{team}/{name}/versions/{number}/clients",
    )
    return _shown(request, asked, adapters.versions(caller(request), row.adapter).filter(pk=row.pk))


@page
def of_base_version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    by = caller(request)
    row = base_models.version(by, base_models.one(by, name), number)
    rows = f"/api/v1/base-models/{name}/versions/{number}/clients"
    url = reverse("base-model", args=[name])
    asked = Asked(row.address, url, "base-models", "Base models", rows, "a version on it")
    return _shown(request, asked, timeline.on_base(row))


@page
def of_dataset_version(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    row = datasets.version(caller(request), Act.READ, team, name, number)
    asked = Asked(
        row.address,
        f"{reverse('dataset', args=[team, name])}?version={number}",
        "datasets",
        "Datasets",
        f"/api/v1/datasets/{team}/{name}/versions/{number}/clients",
        "a version trained on it",
    )
    return _shown(request, asked, timeline.trained_on(row))


def _shown(request: HttpRequest, asked: Asked, versions: QuerySet[AdapterVersion]) -> HttpResponse:
    by, typed = caller(request), {name: request.GET.get(name, "").strip() for name in ("from", "to")}
    try:
        span, problem = _span(typed), ""
    except Invalid as error:
        span, problem = {"since": None, "until": None}, error.message
    rows = timeline.of_versions(by, versions, **span)
    sent = {"from": span["since"], "to": span["until"]}
    shown = paged(request, rows.none() if problem else rows.order_by(F("since").desc(), "-pk"))
    context = {
        "asked": asked,
        "page": shown,
        "actors": actors.of_rows(by, shown),
        "others": 0 if problem else timeline.others_of_versions(by, versions, **span),
        "since": typed["from"],
        "until": typed["to"],
        "problem": problem,
        "filtered": any(typed.values()),
        "csv": urlencode({"format": "csv", **{name: at.isoformat() for name, at in sent.items() if at}}),
    }
    return render(request, "histories/list.html", context, status=400 if problem else 200)


def _span(typed: dict[str, str]) -> dict[str, datetime | None]:
    """A bare date in `from` is its beginning, in `to` its end. Raises Invalid."""
    since, until = typed["from"], typed["to"]
    return {
        "since": moment_of(since, last=False, param="from") if since else None,
        "until": moment_of(until, param="to") if until else None,
    }


urlpatterns = [
    path("adapters/<slug:team>/<slug:name>/<int:number>/clients", of_version, name="version-clients"),
    path("base-models/<slug:name>/<int:number>/clients", of_base_version, name="base-version-clients"),
    path("datasets/<slug:team>/<slug:name>/<int:number>/clients", of_dataset_version, name="dataset-clients"),
]
