"""The record of who did what, and whether it still holds."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act
from registry.dashboard.callers import act, caller, page, paged
from registry.dashboard.clients import moment_of
from registry.errors import Conflict, Invalid, NotFound
from registry.selectors import addresses, assignments
from registry.selectors import audit as selectors
from registry.services import audit as services

FILTERS = ("actor", "action", "object", "client", "from", "to")


@page
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = {name: request.GET.get(name, "").strip() for name in FILTERS}
    filters: dict[str, Any] = {**asked}
    for name in ("from", "to"):
        filters[name] = moment_of(asked[name]) if asked[name] else None
    who, at = request.GET.get("who", ""), request.GET.get("at", "")
    answer, problem = None, ""
    if who:
        try:
            found = addresses.client(by, Act.READ, who, param="who")
            answer = assignments.resolve(by, found, "default", moment_of(at) if at else None)
        except (Invalid, NotFound) as error:
            problem = error.message
    context = {
        "page": paged(request, selectors.listing(by, filters).order_by("-at", "-pk")),
        "asked": asked,
        "until": asked["to"],
        "since": asked["from"],
        "who": who,
        "at": at,
        "answer": answer,
        "problem": problem,
        "filtered": any(asked.values()),
    }
    return render(request, "audit/list.html", context)


@act
def verify(request: HttpRequest) -> str:
    verdict = services.verify()
    if not verdict.ok:
        raise Conflict(
            f"The record does NOT hold: at position {verdict.first_bad_seq}, {verdict.problem}. "
            "Keep a copy of the database and compare it with the last backup."
        )
    return f"The record holds: {verdict.sealed} of {verdict.events} events are sealed, each hash follows the last."


urlpatterns = [path("audit", listing, name="audit"), path("audit/verify", verify, name="audit-verify")]
