"""Base models, their versions as a timeline, and what a draft would touch before it is activated."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.choices import Listing
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, page, paged
from registry.selectors import base_models as selectors
from registry.selectors import impacts, standing
from registry.services import base_models as services


FILTERS = lists.Filters(Listing.BASE_MODELS, "/api/v1/base-models", (lists.Filter("q", "Text"),))


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    asked = lists.read(request, FILTERS)
    shown = paged(request, selectors.table(caller(request), **asked.values))
    return render(request, "base_models/list.html", {"page": shown, "asked": asked})


@page
def detail(request: HttpRequest, name: str) -> HttpResponse:
    by = caller(request)
    base = selectors.one(by, name)
    context = {
        "base": base,
        "versions": standing.timeline(by, base),
        "drafts": [(draft, impacts.of(by, draft)) for draft in selectors.drafts(by, base)],
        "administrator": by.administrator,
    }
    return render(request, "base_models/detail.html", context)


@act
def activate(request: HttpRequest, name: str, number: int) -> str:
    by = caller(request)
    version = selectors.version(by, selectors.one(by, name), number)
    services.activate(by=by, version=version, reason=request.POST.get("reason", "").strip())
    return f"{version.address} is current. Adapters on older versions are stale now; see Lineage."


urlpatterns = [
    path("base-models", listing, name="base-models"),
    path("base-models/<slug:name>", detail, name="base-model"),
    path("base-models/<slug:name>/<int:number>/activate", activate, name="base-version-activate"),
]
