"""Versions of all adapters as one list."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.choices import Listing, VersionStatus
from registry.dashboard import lists
from registry.dashboard.callers import caller, paged
from registry.selectors import adapters as selectors
from registry.selectors import base_models, overview, surroundings

FILTERS = lists.Filters(
    Listing.VERSIONS,
    "/api/v1/adapter-versions",
    (
        lists.Filter("q", "Text"),
        lists.Filter("team", "Team"),
        lists.Filter("vertical", "Vertical"),
        lists.Filter("base_model", "Base model"),
        lists.Filter("status", "Status", VersionStatus.values),
        lists.Filter("label", "Label", hint="key:value", pair=True),
        lists.Filter("stale", "Stale", flag=True),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS, vertical=overview.verticals(by), base_model=base_models.names(by))
    named = asked.only("q", "team", "vertical", "base_model", "status")
    found = selectors.versions(by, **named, label=lists.pairs(asked), stale=lists.flag(asked, "stale"))
    shown = paged(request, found.order_by("-pk"))
    around, losses = surroundings.of_versions(shown), overview.losses([row.pk for row in shown])
    rows = [
        (row, around.aliases.get(row.pk, []), around.stale.get(row.pk, []), losses.get(row.pk)) for row in shown
    ]
    return render(request, "adapters/versions.html", {"page": shown, "rows": rows, "asked": asked})


urlpatterns = [path("versions", listing, name="versions")]
