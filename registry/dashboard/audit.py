"""The record of who did what, and whether it still holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.dashboard.callers import act, caller, page, paged
from registry.dashboard.lookups import answered, look_up_address
from registry.dashboard.moments import moment_of
from registry.errors import Conflict, Invalid
from registry.selectors import actors, holds
from registry.selectors import audit as selectors
from registry.services import audit as services

FILTERS = ("actor", "action", "object", "client", "q", "from", "to")


@page
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = {name: request.GET.get(name, "").strip() for name in FILTERS}
    who, at, slot = (request.GET.get(name, "").strip() for name in ("who", "at", "slot"))
    try:
        filters, problem = _filters(asked), ""
    except Invalid as error:
        filters, problem = {}, error.message
    rows = selectors.listing(by, filters)
    shown = paged(request, rows.none() if problem else rows.order_by("-at", "-pk"))
    lookup = look_up_address(by, who, slot, at) if who else None
    held = holds.listing(by).open().order_by("pk")
    context = {
        "page": shown,
        "actors": actors.of_rows(by, shown, held, answered(lookup)),
        "asked": asked,
        "until": asked["to"],
        "since": asked["from"],
        "csv": urlencode({"format": "csv", **_moments(filters)}),
        "span": urlencode(_moments({name: filters[name] for name in ("from", "to") if name in filters})),
        "who": who,
        "at": at,
        "slot": slot,
        "lookup": lookup,
        "problem": problem,
        "holds": held,
        "checkpoint": services.newest_checkpoint(),
        "filtered": any(asked.values()),
    }
    return render(request, "audit/list.html", context, status=400 if problem else 200)


def _filters(asked: dict[str, str]) -> dict[str, Any]:
    """Typed dates as moments: a bare date in `from` is its beginning, in `to` its end. Raises Invalid."""
    found: dict[str, Any] = {name: value for name, value in asked.items() if value}
    for name, last in (("from", False), ("to", True)):
        if name in found:
            found[name] = moment_of(found[name], last=last, param=name)
    return found


def _moments(filters: dict[str, Any]) -> dict[str, str]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in filters.items()}


@act
def verify(request: HttpRequest) -> str:
    verdict = services.verify()
    if not verdict.ok:
        raise Conflict(
            f"The record does NOT hold: at position {verdict.first_bad_seq}, {verdict.problem}. "
            "Keep a copy of the database and compare it with the last backup."
        )
    text = f"The record holds: {verdict.sealed} of {verdict.events} events are sealed, each hash follows the last."
    return f"{text} It begins after the checkpoint at {verdict.begins_after}." if verdict.begins_after else text


urlpatterns = [path("audit", listing, name="audit"), path("audit/verify", verify, name="audit-verify")]
