"""Clients: what answers them now, what did before, and who had what on a date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

from django import forms as fields
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.access import Act, Caller
from registry.choices import Listing
from registry.dashboard import forms, labels, lists
from registry.dashboard.callers import Said, act, caller, gateway, page, paged, shown_once
from registry.dashboard.lookups import answered, look_up
from registry.dashboard.moments import moment_of
from registry.dashboard.slots import canary_of, slot_of
from registry.dashboard.undoing import undoable
from registry.errors import Invalid
from registry.selectors import actors, addresses, aliases, assignments, clients, rights, slots, teams, timeline
from registry.selectors import adapters as adapter_selectors
from registry.services import assignments as services
from registry.services import clients as client_services
from registry.services.assignments import Target

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from registry.models import Client

EMAIL = re.compile(r"[^@\s<>]{1,64}@[^@\s<>]{1,180}\.[^@\s<>.]{2,}")


FILTERS = lists.Filters(
    Listing.CLIENTS,
    "/api/v1/clients",
    (
        lists.Filter("q", "Text"),
        lists.Filter("team", "Team"),
        lists.Filter("vertical", "Vertical"),
        lists.Filter("label", "Label", hint="key:value", pair=True),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    asked = lists.read(request, FILTERS, vertical=clients.verticals(by))
    shown = paged(request, narrowed(by, asked).order_by("team__slug", "name"))
    context = {
        "page": shown,
        "rows": slots.table(list(shown)),
        "asked": asked,
        "adapters": clients.adapters_for(by),
        "may_create": rights.may_anywhere(by, Act.ASSIGN),
    }
    return render(request, "clients/list.html", context)


def narrowed(by: Caller, asked: lists.Asked) -> QuerySet[Client]:
    return clients.listing(by, **asked.only("q", "team", "vertical"), label=lists.pairs(asked))


class ClientForm(forms.Form):
    icon, submit = "plus", "Create"
    team = fields.ChoiceField()
    name = forms.NameField(help_text="Whose requests are answered, such as st-olaf.")
    vertical = forms.VerticalField()

    def prepare(self, by: Caller, where: Mapping[str, Any]) -> None:
        self.fields["team"].choices = [(team, team) for team in rights.where_may(by, Act.ASSIGN)]  # type: ignore[attr-defined]


def _creates(request: HttpRequest) -> None:
    rights.require_anywhere(caller(request), Act.ASSIGN)


@page
def new(request: HttpRequest) -> HttpResponse:
    _creates(request)
    return render(request, "clients/new.html", {"form": forms.of(request, ClientForm)})


@forms.form(ClientForm, new, may=_creates)
def create(request: HttpRequest, data: dict[str, Any]) -> tuple[str, str]:
    by = caller(request)
    team = teams.team(by, Act.ASSIGN, data["team"])
    made = client_services.create(by=by, team=team, name=data["name"], vertical=data["vertical"])
    return f"{made.address} is there. Assign an adapter, and make it a key.", reverse(
        "client", args=[team.slug, made.name]
    )


@page
def detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    return render(request, "clients/detail.html", _shown(request, team, name))


def _shown(request: HttpRequest, team: str, name: str) -> dict[str, Any]:
    by = caller(request)
    client = addresses.client_of(by, Act.READ, team, name)
    at, slot = request.GET.get("at", "").strip(), request.GET.get("slot", "default").strip()
    (row,) = slots.table([client])
    opened = assignments.open_assignments(by, client).order_by("slot__name")
    waiting = assignments.waiting(by, client)
    past = timeline.intervals(by, client).order_by(F("since").desc(), "-pk")[:100]
    lookup = look_up(by, client, slot, at) if at else None
    return {
        "client": client,
        "row": row,
        "labels": clients.labels_of(by, client),
        "open": opened,
        "waiting": waiting,
        "timeline": past,
        "actors": actors.of_rows(by, opened, waiting, past, answered(lookup)),
        "keys": assignments.keys(by, client),
        "adapters": adapter_selectors.listing(by, team=team).order_by("name"),
        "may_assign": rights.may(by, Act.ASSIGN, client.team),
        "at": at,
        "slot": slot,
        "lookup": lookup,
        "gateway": gateway(request),
    }


@shown_once("client", "team", "name")
def mint(request: HttpRequest, team: str, name: str) -> HttpResponse:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    typed = request.POST.get("expires", "").strip()
    until = moment_of(typed, param="expires") if typed else None
    name_of_key = request.POST.get("name", "").strip()[:200]
    key, text = client_services.mint_key(by=by, client=client, name=name_of_key, expires_at=until)
    return render(request, "clients/detail.html", {**_shown(request, team, name), "minted": key, "text": text})


@act
def revoke(request: HttpRequest, team: str, name: str, key: int) -> str:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    client_services.revoke_key(by=by, client=client, key_id=key)
    return f"The key is revoked; requests of {client.address} that bring it are refused from now on."


@act
def describe(request: HttpRequest, team: str, name: str) -> str:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    given = request.POST
    client_services.change(
        by=by,
        client=client,
        description=given.get("description", "").strip()[:10_000],
        contacts=[_contact(line) for line in given.get("contacts", "").splitlines()[:50] if line.strip()],
        labels=labels.typed(given.get("labels", "")),
    )
    return f"{client.address} is described."


def _contact(line: str) -> dict[str, str]:
    """`Ann Example <ann@example.org>`."""
    name, email = parseaddr(line.strip())
    if not name or not EMAIL.fullmatch(email):
        raise Invalid(
            f"{line.strip()[:100]!r} is no contact; write: Ann Example <ann@example.org>.", param="contacts"
        )
    return {"name": name[:200], "email": email}


@act
def assign(request: HttpRequest, team: str, name: str) -> Said:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    adapter = addresses.adapter_of(by, Act.READ, team, request.POST.get("adapter", ""))
    alias = aliases.one(adapter, request.POST.get("alias", "production") or "production")
    target, slot = Target(adapter, alias, None, *canary_of(request, adapter)), slot_of(request)
    times = {name: _typed(request, name) for name in ("starts_at", "ends_at")}
    reason = request.POST.get("reason", "").strip()[:2000]
    made = services.assign(by=by, client=client, slot=slot, target=target, reason=reason, **times)
    when = f"from {made.valid_from:%Y-%m-%d %H:%M} UTC on" if times["starts_at"] else _from_when(made)
    share = (
        f", {target.canary_percent} % by its version {target.canary_version.number},"
        if target.canary_version
        else ""
    )
    words = f"Slot {slot} of {client.address} is answered by {adapter.address}{share} {when}."
    return undoable(by, f"slot:{client.address}/{slot}", words)


def _typed(request: HttpRequest, param: str) -> datetime | None:
    text = request.POST.get(param, "").strip()
    return moment_of(text, last=param == "ends_at", param=param) if text else None


@act
def rollback(request: HttpRequest, team: str, name: str) -> Said:
    by = caller(request)
    client = addresses.client_of(by, Act.ASSIGN, team, name)
    slot = slot_of(request)
    made = services.rollback(by=by, client=client, slot=slot, reason=request.POST.get("reason", ""))
    words = f"Slot {slot} is back on {made.adapter.address} {_from_when(made)}."
    return undoable(by, f"slot:{client.address}/{slot}", words)


def _from_when(made: object) -> str:
    """An assignment holds at once; a move waits for an engine."""
    return "from now on" if hasattr(made, "valid_from") else "as soon as an engine has loaded it"


ONE = "clients/<slug:team>/<slug:name>"
urlpatterns = [
    path("clients", listing, name="clients"),
    path("clients/new", create, name="client-new"),
    path(ONE, detail, name="client"),
    path(f"{ONE}/keys", mint, name="client-keys"),
    path(f"{ONE}/keys/<int:key>/revoke", revoke, name="client-revoke"),
    path(f"{ONE}/describe", describe, name="client-describe"),
    path(f"{ONE}/assign", assign, name="client-assign"),
    path(f"{ONE}/rollback", rollback, name="client-rollback"),
]
