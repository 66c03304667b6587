"""Clients: what answers them now, what did before, and who had what on a date."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.access import Act
from registry.dashboard.callers import act, caller, page, paged
from registry.dashboard.lookups import look_up
from registry.selectors import adapters as adapter_selectors
from registry.selectors import addresses, aliases, assignments, clients, rights, slots
from registry.services import assignments as services
from registry.services.assignments import Target


@page
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    q = request.GET.get("q", "")
    shown = paged(request, clients.listing(by, q=q))
    return render(request, "clients/list.html", {"page": shown, "rows": slots.table(list(shown)), "q": q})


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    client = addresses.client_of(by, Act.READ, team, name)
    at, slot = request.GET.get("at", "").strip(), request.GET.get("slot", "default").strip()
    (row,) = slots.table([client])
    context = {
        "client": client,
        "row": row,
        "open": assignments.open_assignments(by, client).order_by("slot__name"),
        "timeline": assignments.timeline(by, client).order_by("-valid_from", "-pk")[:100],
        "moves": clients.moves(by, client)[:100],
        "keys": assignments.keys(by, client),
        "adapters": adapter_selectors.listing(by, team=team).order_by("name"),
        "may_assign": rights.may(by, Act.ASSIGN, client.team),
        "at": at,
        "slot": slot,
        "lookup": look_up(by, client, slot, at) if at else None,
        "gateway": f"http://{request.get_host().partition(':')[0]}:{settings.SERVING_PORT}",
    }
    return render(request, "clients/detail.html", context)


@act
def assign(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    adapter = addresses.adapter_of(by, Act.READ, team, request.POST.get("adapter", ""))
    target = Target(adapter, alias=aliases.one(adapter, request.POST.get("alias", "production") or "production"))
    slot = request.POST.get("slot", "").strip() or "default"
    made = services.assign(by=by, client=client, slot=slot, target=target, reason=request.POST.get("reason", ""))
    return f"Slot {slot} of {client.address} is answered by {adapter.address} {_from_when(made)}."


@act
def rollback(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    slot = request.POST.get("slot", "").strip() or "default"
    made = services.rollback(by=by, client=client, slot=slot, reason=request.POST.get("reason", ""))
    return f"Slot {slot} is back on {made.adapter.address} {_from_when(made)}."


def _from_when(made: object) -> str:
    """An assignment holds at once; a move waits for an engine."""
    return "from now on" if hasattr(made, "valid_from") else "as soon as an engine has loaded it"


ONE = "clients/<slug:team>/<slug:name>"
urlpatterns = [
    path("clients", listing, name="clients"),
    path(ONE, detail, name="client"),
    path(f"{ONE}/assign", assign, name="client-assign"),
    path(f"{ONE}/rollback", rollback, name="client-rollback"),
]
