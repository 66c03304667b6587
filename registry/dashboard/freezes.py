"""Freezes: what holds promotions now, what did, and the forms to begin and lift one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act, administers, teams
from registry.choices import Listing
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, paged
from registry.dashboard.moments import moment_of
from registry.selectors import actors
from registry.selectors import freezes as selectors
from registry.selectors import teams as team_selectors
from registry.services import freezes as services

FILTERS = lists.Filters(
    Listing.FREEZES,
    "/api/v1/freezes",
    (lists.Filter("team", "Team"), lists.Filter("active", "Holds now", flag=True)),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS)
    rows = selectors.listing(by, team=asked.value("team"), active=lists.flag(asked, "active"))
    shown = paged(request, rows.order_by("-pk"))
    context = {
        "page": shown,
        "asked": asked,
        "actors": actors.of_rows(by, shown),
        "teams": teams(by, Act.PUBLISH).order_by("slug"),
        "administrator": administers(by),
    }
    return render(request, "freezes/list.html", context)


@act
def begin(request: HttpRequest) -> str:
    by, named = caller(request), request.POST.get("team", "")
    team = team_selectors.team(by, Act.PUBLISH, named) if named else None
    until = moment_of(request.POST.get("until", "").strip(), param="until")
    row = services.freeze(by=by, team=team, reason=request.POST.get("reason", "").strip()[:2000], until=until)
    return f"{'Team ' + row.team.slug if row.team else 'The installation'} is frozen: no alias moves."


@act
def lift(request: HttpRequest, pk: int) -> str:
    by = caller(request)
    services.lift(by=by, freeze=selectors.one(by, pk), reason=request.POST.get("reason", "").strip()[:2000])
    return "The freeze is lifted; what waited moves now."


urlpatterns = [
    path("freezes", listing, name="freezes"),
    path("freezes/begin", begin, name="freeze-begin"),
    path("freezes/<int:pk>/lift", lift, name="freeze-lift"),
]
