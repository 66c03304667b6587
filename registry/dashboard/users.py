"""Accounts, for administrators: who has one, a new one, and ending what somebody can do here."""

from __future__ import annotations

from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.dashboard.callers import act, caller, page, paged, shown_once
from registry.errors import Invalid
from registry.selectors import accounts as selectors
from registry.services import accounts as services


@page
def listing(request: HttpRequest) -> HttpResponse:
    return _shown(request)


def _shown(request: HttpRequest, text: str = "", email: str = "") -> HttpResponse:
    q = request.GET.get("q", "").strip()[:254]
    rows = selectors.with_teams(selectors.listing(caller(request), q=q)).order_by("email")
    csv = urlencode({"format": "csv", **({"q": q} if q else {})})
    shown = {"page": paged(request, rows), "text": text, "email": email, "q": q, "csv": csv}
    return render(request, "users/list.html", shown)


@shown_once("users")
def create(request: HttpRequest) -> HttpResponse:
    email, wish = request.POST.get("user", "").strip(), request.POST.get("administrator") == "1"
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid(f"{email[:100]!r} is no e-mail address.", param="user") from error
    user, password = services.create(by=caller(request), email=email, administrator=wish)
    return _shown(request, password, user.email)


@act
def switch(request: HttpRequest) -> str:
    wish = request.POST.get("active") == "1"
    user = services.set_active(by=caller(request), email=request.POST.get("user", ""), active=wish)
    return f"{user.email} may come in again." if wish else f"{user.email} is out: sessions and tokens are refused."


@act
def sign_out(request: HttpRequest) -> str:
    by = caller(request)
    user = selectors.one(by, request.POST.get("user", ""))
    ended = services.sign_out(by=by, user=user)
    return f"{user.email} is signed out everywhere ({ended} session{'' if ended == 1 else 's'})."


urlpatterns = [
    path("users", listing, name="users"),
    path("users/create", create, name="user-create"),
    path("users/switch", switch, name="user-switch"),
    path("users/sign-out", sign_out, name="user-sign-out"),
]
