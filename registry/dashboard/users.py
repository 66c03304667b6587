"""Accounts, for administrators: who has one, a new one, and ending what somebody can do here."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from registry.choices import Listing
from registry.dashboard import lists
from registry.dashboard.callers import act, caller, paged, shown_once
from registry.errors import Invalid
from registry.selectors import accounts as selectors
from registry.services import accounts as services

FILTERS = lists.Filters(
    Listing.USERS,
    "/api/v1/users",
    (
        lists.Filter("q", "Text"),
        lists.Filter("administrator", "Administrators", flag=True),
        lists.Filter("closed", "Closed", flag=True, sent=(("active", "false"),)),
    ),
)


@lists.listing(FILTERS)
def listing(request: HttpRequest) -> HttpResponse:
    return _shown(request)


def _shown(request: HttpRequest, text: str = "", email: str = "") -> HttpResponse:
    asked = lists.read(request, FILTERS)
    closed, administrator = lists.flag(asked, "closed"), lists.flag(asked, "administrator")
    found = selectors.listing(
        caller(request), q=asked.value("q"), active=False if closed else None, administrator=administrator
    )
    rows = selectors.with_teams(found).order_by("email")
    shown = {"page": paged(request, rows), "text": text, "email": email, "asked": asked}
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
