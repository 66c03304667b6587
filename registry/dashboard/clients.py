"""Clients: what answers them now, what did before, and who had what on a date."""

from __future__ import annotations

from datetime import datetime, time

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from registry.access import Act
from registry.dashboard.callers import act, caller, page, paged
from registry.errors import Invalid, NotFound
from registry.selectors import adapters as adapter_selectors
from registry.selectors import addresses, aliases, assignments, clients
from registry.services import assignments as services
from registry.services.assignments import Target


@page
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    q = request.GET.get("q", "")
    shown = paged(request, clients.listing(by, q=q))
    return render(request, "clients/list.html", {"page": shown, "rows": clients.table(list(shown)), "q": q})


def moment_of(text: str) -> datetime:
    """A date means the end of that day, UTC. Raises Invalid."""
    try:
        found = parse_datetime(text) if "T" in text or " " in text else None
        day = None if found else parse_date(text)
    except ValueError:
        found = day = None
    if found is None and day is None:
        raise Invalid(f"{text[:40]!r} is no date; write 2026-05-04 or 2026-05-04T12:00.", param="at")
    moment = found or datetime.combine(day or timezone.now().date(), time(23, 59, 59))
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    client = addresses.client_of(by, Act.READ, team, name)
    at = request.GET.get("at", "")
    slot = request.GET.get("slot", "default")
    answer, problem = None, ""
    if at:
        try:
            answer = assignments.resolve(by, client, slot, moment_of(at))
        except (Invalid, NotFound) as error:
            problem = error.message
    (row,) = clients.table([client])
    context = {
        "client": client,
        "row": row,
        "open": assignments.open_assignments(by, client),
        "timeline": assignments.timeline(by, client).order_by("-valid_from", "-pk")[:100],
        "moves": clients.moves(by, client)[:100],
        "keys": assignments.keys(by, client),
        "adapters": adapter_selectors.listing(by, team=team).order_by("name"),
        "at": at,
        "slot": slot,
        "answer": answer,
        "problem": problem,
        "gateway": f"http://{request.get_host().partition(':')[0]}:{settings.SERVING_PORT}",
    }
    return render(request, "clients/detail.html", context)


@act
def assign(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    adapter = addresses.adapter_of(by, Act.READ, team, request.POST.get("adapter", ""))
    target = Target(adapter, alias=aliases.one(adapter, request.POST.get("alias", "production") or "production"))
    slot = request.POST.get("slot", "default") or "default"
    services.assign(by=by, client=client, slot=slot, target=target, reason=request.POST.get("reason", ""))
    return f"{client.address} is answered by {adapter.address} from now on."


@act
def rollback(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    slot = request.POST.get("slot", "default") or "default"
    made = services.rollback(by=by, client=client, slot=slot, reason=request.POST.get("reason", ""))
    return f"Slot '{slot}' is back on {made.adapter.address}."


ONE = "clients/<slug:team>/<slug:name>"
urlpatterns = [
    path("clients", listing, name="clients"),
    path(ONE, detail, name="client"),
    path(f"{ONE}/assign", assign, name="client-assign"),
    path(f"{ONE}/rollback", rollback, name="client-rollback"),
]
