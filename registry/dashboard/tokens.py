"""A team's API tokens: minted and shown once, rotated, revoked."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry import throttle
from registry.choices import Scope
from registry.dashboard.callers import act, caller, page, paged, shown_once
from registry.dashboard.moments import moment_of
from registry.dashboard.settings import ONE, SCOPES, frame, owned
from registry.errors import Invalid
from registry.selectors import teams as selectors
from registry.services import tokens as services

GRACE = timedelta(hours=1)


@page
def listing(request: HttpRequest, team: str) -> HttpResponse:
    return _shown(request, team)


def _shown(request: HttpRequest, team: str, text: str = "", name: str = "") -> HttpResponse:
    by = caller(request)
    row = owned(by, team)
    context = {
        **frame(request, row, "settings-tokens"),
        "page": paged(request, selectors.with_origin(selectors.tokens(by, team=row.slug)).order_by("-pk")),
        "scopes": SCOPES.items(),
        "text": text,
        "name": name,
    }
    return render(request, "settings/tokens.html", context)


@shown_once("settings-tokens", "team")
def mint(request: HttpRequest, team: str) -> HttpResponse:
    by, scopes = caller(request), request.POST.getlist("scopes")
    row, name = owned(by, team), request.POST.get("name", "").strip()[:200]
    if not scopes or not set(scopes) <= set(Scope.values):
        raise Invalid("Choose what the token may do: one scope at least.", param="scopes")
    typed = request.POST.get("expires", "").strip()
    until = moment_of(typed, param="expires") if typed else None
    throttle.count_token(by.person)
    _, text = services.mint(by=by, team=row, name=name, scopes=scopes, expires_at=until)
    return _shown(request, team, text, name)


@shown_once("settings-tokens", "team")
def rotate(request: HttpRequest, team: str, pk: int) -> HttpResponse:
    by = caller(request)
    throttle.count_token(by.person)
    token, text = services.rotate(by=by, token_id=str(pk), grace=GRACE)
    return _shown(request, team, text, token.name)


@act
def revoke(request: HttpRequest, team: str, pk: int) -> str:
    services.revoke(by=caller(request), token_id=str(pk))
    return "The token is revoked: whoever brings it is refused from now on."


urlpatterns = [
    path(f"{ONE}/tokens", listing, name="settings-tokens"),
    path(f"{ONE}/tokens/mint", mint, name="settings-token-mint"),
    path(f"{ONE}/tokens/<int:pk>/rotate", rotate, name="settings-token-rotate"),
    path(f"{ONE}/tokens/<int:pk>/revoke", revoke, name="settings-token-revoke"),
]
