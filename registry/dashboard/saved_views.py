"""Views of a list: saved under a name, shared, made what the list begins with, deleted."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import path, reverse

from registry.access import Act
from registry.choices import Listing
from registry.dashboard.callers import act, caller
from registry.errors import Invalid
from registry.selectors import saved_views as selectors
from registry.selectors import teams
from registry.services import saved_views as services


@act
def save(request: HttpRequest) -> tuple[str, str]:
    by, named = caller(request), request.POST.get("team", "")
    team = teams.team(by, Act.TRAIN, named) if named else None
    row = services.save(
        by=by,
        listing=_listing(request.POST.get("listing", "")),
        name=request.POST.get("name", "").replace("\0", ""),
        query=request.POST.get("query", ""),
        team=team,
        default=request.POST.get("default") == "1",
    )
    who = f"Team {team.slug} sees it" if team else "Only you see it"
    begins = "; the list begins with it" if row.default else ""
    return f"The view {row.name} is saved. {who}{begins}.", f"{reverse(row.listing)}?{row.query}"


def _listing(name: str) -> str:
    if name not in Listing.values:
        raise Invalid(f"{name[:20]!r} is no list that has views.", param="listing")
    return name


@act
def begin(request: HttpRequest, pk: int) -> str:
    by, wish = caller(request), request.POST.get("default") == "1"
    row = services.set_default(by=by, view=selectors.one(by, pk), default=wish)
    return f"The list begins with {row.name}." if wish else "The list begins with everything."


@act
def delete(request: HttpRequest, pk: int) -> tuple[str, str]:
    by = caller(request)
    row = selectors.one(by, pk)
    services.delete(by=by, view=row)
    return f"The view {row.name} is deleted.", f"{reverse(row.listing)}?all=1"


urlpatterns = [
    path("views/save", save, name="view-save"),
    path("views/<int:pk>/default", begin, name="view-default"),
    path("views/<int:pk>/delete", delete, name="view-delete"),
]
