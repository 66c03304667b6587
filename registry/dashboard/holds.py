"""Legal holds: what nothing is deleted of, what was held before, and the forms to place and lift one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act, administers
from registry.choices import Listing
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, paged
from registry.selectors import actors
from registry.selectors import holds as selectors
from registry.selectors import teams as team_selectors
from registry.services import holds as services

FILTERS = lists.Filters(
    Listing.HOLDS,
    "/api/v1/audit/holds",
    (lists.Filter("team", "Team"), lists.Filter("active", "Open", flag=True)),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    administrator = administers(by)
    teams = list(team_selectors.listing(by).order_by("slug"))
    asked = lists.read(request, FILTERS, team=[team.slug for team in teams])
    rows = selectors.listing(by, team=asked.value("team"), active=lists.flag(asked, "active"))
    shown = paged(request, rows.order_by("-pk"))
    context = {
        "page": shown,
        "asked": asked,
        "actors": actors.of_rows(by, shown),
        "teams": teams,
        "administrator": administrator,
    }
    return render(request, "holds/list.html", context)


@act
def place(request: HttpRequest) -> str:
    by, named = caller(request), request.POST.get("team", "")
    team = team_selectors.looked_after(by, Act.READ, named) if named else None
    row = services.place(by=by, team=team, reason=request.POST.get("reason", "").strip()[:2000])
    what = f"of team {row.team.slug}" if row.team else "of the whole installation"
    return f"Nothing {what} is deleted from its record and receipts until the hold is lifted."


@act
def lift(request: HttpRequest, pk: int) -> str:
    by = caller(request)
    services.lift(by=by, hold=selectors.one(by, pk), reason=request.POST.get("reason", "").strip()[:2000])
    return "The hold is lifted; what it alone kept goes when its time is over."


urlpatterns = [
    path("holds", listing, name="holds"),
    path("holds/place", place, name="hold-place"),
    path("holds/<int:pk>/lift", lift, name="hold-lift"),
]
