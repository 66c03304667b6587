"""A team's webhooks: who is told of what, what each was sent, and sending it again."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from registry.choices import DeliveryState
from registry.dashboard.callers import act, caller, page, paged, shown_once
from registry.dashboard.moments import moment_of
from registry.dashboard.settings import ONE, frame, owned
from registry.errors import Invalid
from registry.selectors import webhooks as selectors
from registry.services import outgoing
from registry.services import webhooks as services

# `*` and the first word of every event.
GROUPS = [one for one in outgoing.PATTERNS if one.count(".") <= 1]


@page
def listing(request: HttpRequest, team: str) -> HttpResponse:
    by = caller(request)
    row = owned(by, team)
    context = {
        **frame(request, row, "settings-webhooks"),
        "webhooks": selectors.counted(selectors.listing(by, team=row.slug)).order_by("-pk"),
        "groups": GROUPS,
        "types": outgoing.TYPES,
    }
    return render(request, "settings/webhooks.html", context)


@page
def detail(request: HttpRequest, team: str, pk: int) -> HttpResponse:
    return _shown(request, team, pk)


def _shown(request: HttpRequest, team: str, pk: int, secret: str = "") -> HttpResponse:
    by = caller(request)
    row, webhook = owned(by, team), selectors.one(by, pk, team=team)
    state = request.GET.get("state", "")
    asked = {"state": state if state in DeliveryState.values else "", "q": request.GET.get("q", "").strip()[:200]}
    context = {
        **frame(request, row, "settings-webhooks"),
        "webhook": webhook,
        "page": paged(request, selectors.deliveries(by, pk, **asked).order_by("-pk")),
        **asked,
        "csv": urlencode({"format": "csv", **{name: value for name, value in asked.items() if value}}),
        "states": DeliveryState.values,
        "secret": secret,
    }
    island = request.headers.get("HX-Request")
    return render(request, "settings/_deliveries.html" if island else "settings/webhook.html", context)


@shown_once("settings-webhooks", "team")
def create(request: HttpRequest, team: str) -> HttpResponse:
    by, given = caller(request), request.POST
    webhook, secret = services.create(
        by=by,
        team=owned(by, team),
        url=given.get("url", "").strip()[:2000],
        events=given.getlist("events"),
        description=given.get("description", "").strip()[:200],
    )
    return _shown(request, team, webhook.pk, secret)


@shown_once("settings-webhook", "team", "pk")
def rotate(request: HttpRequest, team: str, pk: int) -> HttpResponse:
    _, secret = services.rotate(by=caller(request), webhook_id=pk)
    return _shown(request, team, pk, secret)


@act
def switch(request: HttpRequest, team: str, pk: int) -> str:
    wish = request.POST.get("enabled") == "1"
    row = services.update(by=caller(request), webhook_id=pk, enabled=wish)
    return f"{row.url} {'is told again, of what it missed too' if wish else 'is told nothing for now'}."


@act
def delete(request: HttpRequest, team: str, pk: int) -> tuple[str, str]:
    services.delete(by=caller(request), webhook_id=pk)
    return "The webhook is deleted, and its deliveries with it.", reverse("settings-webhooks", args=[team])


@act
def replay(request: HttpRequest, team: str, pk: int) -> str:
    by, one, since = caller(request), request.POST.get("delivery", ""), request.POST.get("since", "").strip()
    if one:
        if not one.isdecimal():
            raise Invalid("Which delivery? Choose one of the list.", param="delivery")
        _, count = services.replay(by=by, webhook_id=pk, delivery=int(one[:18]))
    else:
        _, count = services.replay(by=by, webhook_id=pk, since=moment_of(since, last=False, param="since"))
    return f"{count} deliver{'y is' if count == 1 else 'ies are'} sent again."


HOOK = f"{ONE}/webhooks/<int:pk>"
urlpatterns = [
    path(f"{ONE}/webhooks", listing, name="settings-webhooks"),
    path(f"{ONE}/webhooks/create", create, name="settings-webhook-create"),
    path(HOOK, detail, name="settings-webhook"),
    path(f"{HOOK}/rotate", rotate, name="settings-webhook-rotate"),
    path(f"{HOOK}/switch", switch, name="settings-webhook-switch"),
    path(f"{HOOK}/delete", delete, name="settings-webhook-delete"),
    path(f"{HOOK}/replay", replay, name="settings-webhook-replay"),
]
