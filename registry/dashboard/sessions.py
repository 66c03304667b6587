"""One's own account: where it is signed in, and how to end that."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path

from registry.dashboard.callers import act, caller, page
from registry.selectors import accounts as selectors
from registry.services import accounts as services


@page
def detail(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    shown = {
        "sessions": selectors.sessions(by),
        "memberships": selectors.memberships(by),
        "linked": selectors.linked(by),
    }
    return render(request, "account/detail.html", shown)


@act
def sign_out(request: HttpRequest) -> tuple[str, str]:
    by = caller(request)
    ended = services.sign_out(by=by, user=by.user) if by.user else 0
    request.session.flush()
    return f"You are signed out everywhere ({ended} sessions).", "/accounts/login/"


@page
def addresses(request: HttpRequest) -> HttpResponse:
    """Where allauth lets people change their e-mail. Here it is the name in the record, and stays."""
    return redirect("account")


urlpatterns = [
    path("account", detail, name="account"),
    path("account/sign-out", sign_out, name="account-sign-out"),
    path("accounts/email/", addresses),
    path("accounts/sessions/", addresses),
]
