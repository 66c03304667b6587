"""The record of who did what, and whether it still holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.choices import Listing
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, paged
from registry.dashboard.lookups import answered, look_up_address
from registry.dashboard.moments import moment_of
from registry.errors import Conflict, Invalid
from registry.selectors import actors, holds
from registry.selectors import audit as selectors
from registry.services import audit as services

FILTERS = lists.Filters(
    Listing.AUDIT,
    "/api/v1/audit",
    (
        lists.Filter("actor", "Who"),
        lists.Filter("action", "Action", hint="alias.move"),
        lists.Filter("object", "Object"),
        lists.Filter("client", "Client", hint="team/client"),
        lists.Filter("q", "Text anywhere", hint="a digest, a reason"),
        lists.Filter("from", "From", hint="2026-05-04"),
        lists.Filter("to", "To"),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS)
    who, at, slot = (request.GET.get(name, "").strip() for name in ("who", "at", "slot"))
    try:
        filters, problem = _filters(asked.values), ""
    except Invalid as error:
        filters, problem = {}, error.message
    asked.sent = _moments(filters)
    rows = selectors.listing(by, filters)
    shown = paged(request, rows.none() if problem else rows.order_by("-at", "-pk"))
    lookup = look_up_address(by, who, slot, at) if who else None
    held = holds.listing(by).open().order_by("pk")
    context = {
        "page": shown,
        "actors": actors.of_rows(by, shown, held, answered(lookup)),
        "asked": asked,
        "span": urlencode(_moments({name: filters[name] for name in ("from", "to") if name in filters})),
        "who": who,
        "at": at,
        "slot": slot,
        "lookup": lookup,
        "problem": problem,
        "holds": held,
        "checkpoint": services.newest_checkpoint(),
    }
    return render(request, "audit/list.html", context, status=400 if problem else 200)


def _filters(asked: dict[str, str]) -> dict[str, Any]:
    """Typed dates as moments: a bare date in `from` is its beginning, in `to` its end. Raises Invalid."""
    found: dict[str, Any] = dict(asked)
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
