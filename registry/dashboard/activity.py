"""The activity of an object: its part of the audit, as a tab of its page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act
from registry.dashboard.callers import caller, page, paged
from registry.selectors import activity as selectors
from registry.selectors import actors, adapters, addresses, base_models, datasets, jobs
from registry.services import audit, campaigns

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import AuditEvent


@dataclass(frozen=True)
class About:
    """Whose tabs are shown, what it is called, its room, and what the audit log calls it."""

    kind: str
    name: str
    room: str
    rooms: str
    filters: dict[str, str] = field(default_factory=dict)
    owner: str = ""

    @property
    def query(self) -> str:
        return urlencode(self.filters)


@page
def of_adapter(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    row = addresses.adapter_of(by, Act.READ, team, name)
    about = About("adapter", name, "adapters", "Adapters", {"object": f"adapter:{row.address}"}, team)
    return _shown(request, about, selectors.of_adapter(by, row))


@page
def of_version(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    by = caller(request)
    row = adapters.version(by, Act.READ, team, name, str(number))
    filters = {"object": f"adapter:{row.address}"}
    about = About("adapter-version", f"{name} v{row.number}", "adapters", "Adapters", filters, team)
    return _shown(request, about, selectors.of_version(by, row))


@page
def of_client(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    row = addresses.client_of(by, Act.READ, team, name)
    about = About("client", name, "clients", "Clients", {"client": row.address}, team)
    return _shown(request, about, selectors.of_client(by, row))


@page
def of_dataset(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    row = datasets.one(by, Act.READ, team, name)
    about = About("dataset", name, "datasets", "Datasets", {"object": f"dataset:{row.address}"}, team)
    return _shown(request, about, selectors.of_dataset(by, row))


@page
def of_base_model(request: HttpRequest, name: str) -> HttpResponse:
    by = caller(request)
    row = base_models.one(by, name)
    about = About("base-model", name, "base-models", "Base models", {"object": f"base:{name}"})
    return _shown(request, about, selectors.of_base_model(by, row))


@page
def of_job(request: HttpRequest, pk: int) -> HttpResponse:
    by = caller(request)
    row = jobs.one(by, pk)
    about = About("job", f"Job {row.pk}", "jobs", "Jobs", {"object": f"job:{row.pk}"})
    return _shown(request, about, selectors.of_job(by, row))


@page
def of_campaign(request: HttpRequest, pk: int) -> HttpResponse:
    by = caller(request)
    row = campaigns.get(by, Act.READ, pk)
    filters = {"object": campaigns.object_of(row)}
    about = About("campaign", f"Campaign {row.pk}", "campaigns", "Campaigns", filters, row.team.slug)
    return _shown(request, about, selectors.of_campaign(by, row))


def _shown(request: HttpRequest, about: About, rows: QuerySet[AuditEvent]) -> HttpResponse:
    shown = paged(request, rows.order_by("-at", "-pk"))
    context = {
        "about": about,
        "page": shown,
        "actors": actors.of_rows(caller(request), shown),
        "checkpoint": audit.newest_checkpoint(),
    }
    return render(request, "activity/list.html", context)


urlpatterns = [
    path("adapters/<slug:team>/<slug:name>/activity", of_adapter, name="adapter-activity"),
    path("adapters/<slug:team>/<slug:name>/<int:number>/activity", of_version, name="adapter-version-activity"),
    path("clients/<slug:team>/<slug:name>/activity", of_client, name="client-activity"),
    path("datasets/<slug:team>/<slug:name>/activity", of_dataset, name="dataset-activity"),
    path("base-models/<slug:name>/activity", of_base_model, name="base-model-activity"),
    path("jobs/<int:pk>/activity", of_job, name="job-activity"),
    path("campaigns/<int:pk>/activity", of_campaign, name="campaign-activity"),
]
