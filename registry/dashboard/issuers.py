"""Issuers that a team trusts: CI without stored secrets."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.choices import Scope
from registry.dashboard.callers import act, caller, page
from registry.dashboard.settings import ONE, SCOPES, frame, owned
from registry.errors import Invalid
from registry.selectors import federation as selectors
from registry.services import federation as services

LENT = {scope: words for scope, words in SCOPES.items() if scope != Scope.ADMIN}


@page
def listing(request: HttpRequest, team: str) -> HttpResponse:
    by = caller(request)
    row = owned(by, team)
    context = {
        **frame(request, row, "settings-issuers"),
        "issuers": selectors.listing(by, team=row.slug).order_by("-pk"),
        "scopes": LENT.items(),
    }
    return render(request, "settings/issuers.html", context)


@act
def trust(request: HttpRequest, team: str) -> str:
    by, given = caller(request), request.POST
    scopes, minutes = given.getlist("scopes"), given.get("minutes", "").strip()
    if not scopes or not set(scopes) <= set(LENT):
        raise Invalid("Choose what the tokens may do: one scope at least.", param="scopes")
    if not (minutes.isdecimal() and 1 <= int(minutes[:4]) <= 60):
        raise Invalid("A token lives for 1 to 60 minutes.", param="minutes")
    texts = {name: given.get(name, "").strip()[:most] for name, most in (("issuer", 500), ("audience", 200))}
    if not all(texts.values()):
        raise Invalid("Name the issuer and the audience.", param="issuer")
    what = services.Trust(
        subject=given.get("subject", "").strip()[:300],
        scopes=scopes,
        lifetime=timedelta(minutes=int(minutes)),
        **texts,
    )
    row = services.trust(by=by, team=owned(by, team), what=what)
    return f"A job of {row.subject} gets a token for what {row.issuer} signs."


@act
def distrust(request: HttpRequest, team: str, pk: int) -> str:
    services.distrust(by=caller(request), issuer_id=str(pk))
    return "It is trusted no more; the tokens that came of it have ended."


urlpatterns = [
    path(f"{ONE}/issuers", listing, name="settings-issuers"),
    path(f"{ONE}/issuers/trust", trust, name="settings-trust"),
    path(f"{ONE}/issuers/<int:pk>/distrust", distrust, name="settings-distrust"),
]
