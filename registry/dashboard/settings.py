"""A team's settings: its members, how the installation is, and the frame around tokens, webhooks and issuers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse

from registry.access import Act, administers
from registry.choices import Role, Scope
from registry.dashboard.callers import act, caller, page
from registry.errors import Invalid
from registry.selectors import health as health_selectors
from registry.selectors import rights
from registry.selectors import teams as selectors
from registry.services import teams as services

if TYPE_CHECKING:
    from registry.access import Caller
    from registry.models import Team

OWNERS = (
    ("Tokens", "settings-tokens"),
    ("Webhooks", "settings-webhooks"),
    ("Trusted issuers", "settings-issuers"),
)


# What each scope lets a token do, as its form says it.
SCOPES = {
    Scope.READ: "whatever the team has",
    Scope.TRAIN: "datasets, imports, jobs",
    Scope.PUBLISH: "aliases, campaigns",
    Scope.ASSIGN: "clients and their keys",
    Scope.SERVE: "chat with any adapter",
    Scope.ADMIN: "members, tokens, webhooks",
}


@dataclass(frozen=True)
class Tab:
    label: str
    url: str
    current: bool


def frame(request: HttpRequest, team: Team, here: str) -> dict[str, Any]:
    """What every tab shows; `here` is the name of its address."""
    by = caller(request)
    owner = rights.may(by, Act.ADMIN, team)
    named = [("Members", "settings-members"), *(OWNERS if owner else ()), ("Health", "settings-health")]
    return {
        "team": team,
        "teams": selectors.listing(by).order_by("slug"),
        "tabs": [Tab(label, reverse(name, args=[team.slug]), name == here) for label, name in named],
        "owner": owner,
    }


def owned(by: Caller, slug: str) -> Team:
    return selectors.team(by, Act.ADMIN, slug)


@page
def start(request: HttpRequest) -> HttpResponse:
    home = selectors.home(caller(request))
    return redirect("settings-members", home.slug) if home else render(request, "settings/none.html")


@page
def members(request: HttpRequest, team: str) -> HttpResponse:
    by = caller(request)
    row = selectors.looked_after(by, Act.READ, team)
    shown = frame(request, row, "settings-members")
    context = {
        **shown,
        "members": selectors.members(by, row).order_by("user__email"),
        "roles": Role.values,
        "may_change": shown["owner"] or administers(by),
        "single_sign_on": bool(settings.OIDC_ISSUER),
    }
    return render(request, "settings/members.html", context)


@act
def set_member(request: HttpRequest, team: str) -> str:
    by, role = caller(request), request.POST.get("role", "")
    row = selectors.looked_after(by, Act.ADMIN, team)
    if role not in Role.values:
        raise Invalid(f"There is no role {role[:40]!r}.", param="role")
    email = request.POST.get("user", "").strip()
    member = services.set_member(by=by, team=row, email=email, role=Role(role))
    return f"{member.user.email} is {member.role} of {row.slug}."


@act
def remove_member(request: HttpRequest, team: str) -> tuple[str, str]:
    by, email = caller(request), request.POST.get("user", "").strip()
    row = selectors.looked_after(by, Act.ADMIN, team)
    services.remove_member(by=by, team=row, email=email)
    own = by.person is not None and by.person.email == email.lower()
    return f"{email} is no longer in {row.slug}.", reverse("settings") if own and not administers(by) else ""


@page
def health(request: HttpRequest, team: str) -> HttpResponse:
    row = selectors.looked_after(caller(request), Act.READ, team)
    context = {**frame(request, row, "settings-health"), "health": health_selectors.readiness()}
    island = request.headers.get("HX-Request")
    return render(request, "settings/_health.html" if island else "settings/health.html", context)


ONE = "settings/<slug:team>"
urlpatterns = [
    path("settings", start, name="settings"),
    path(ONE, members, name="settings-members"),
    path(f"{ONE}/members", set_member, name="settings-member"),
    path(f"{ONE}/members/remove", remove_member, name="settings-member-remove"),
    path(f"{ONE}/health", health, name="settings-health"),
]
