"""The search of everything: a page of its own, and the island that the command palette shows of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, path, reverse

from registry.access import Act, Caller, administers, teams
from registry.dashboard import navigation
from registry.dashboard.callers import caller, page
from registry.selectors import palette as selectors
from registry.selectors import rights

if TYPE_CHECKING:
    from registry.models import Job

LONGEST = 100
MOST_COMMANDS = 8


@dataclass(frozen=True)
class Hit:
    """One line: a place that has a `url`, or a thing by what the record calls it, which says where it is."""

    label: str
    icon: str
    url: str = ""
    thing: str = ""
    said: str = ""
    state: str = ""
    at: object = None


Group = tuple[str, list[Hit]]

# What people come for that is no room: its words, icon, route, what narrows it, and what it takes somewhere. A
# route that isn't there is left out.
COMMANDS: tuple[tuple[str, str, str, str, Act], ...] = (
    ("New job: train a version", "circle-plus", "job-new", "", Act.TRAIN),
    ("Import an adapter", "upload", "adapter-import", "", Act.TRAIN),
    ("Upload a dataset", "upload", "dataset-new", "", Act.TRAIN),
    ("New client", "user-plus", "client-new", "", Act.ASSIGN),
    ("New base model", "box", "base-model-new", "", Act.INSTALL),
    ("Stale adapters", "triangle-alert", "adapters", "?stale=1", Act.READ),
    ("Why things are stale: the lineage", "git-branch", "lineage", "?only_stale=1", Act.READ),
    ("Running jobs", "loader", "jobs", "?state=running", Act.READ),
    ("Failed jobs", "circle-x", "jobs", "?state=failed", Act.READ),
    ("Who had what on a date", "history", "audit", "#then", Act.READ),
    ("Bulk moves of clients", "users", "bulk-moves", "", Act.READ),
    ("Your account and sessions", "circle-user", "account", "", Act.READ),
    ("Change your password", "key-round", "account_change_password", "", Act.READ),
    ("Second factor", "shield-check", "mfa_index", "", Act.READ),
    ("API reference", "book-open", "docs", "", Act.READ),
    ("Sign out", "log-out", "account_logout", "", Act.READ),
)
OF_TEAM = (("Members", "users", "settings-members"), ("Health", "heart-pulse", "settings-health"))
OF_OWNER = (
    ("API tokens", "key-round", "settings-tokens"),
    ("Trusted issuers", "badge-check", "settings-issuers"),
    ("Webhooks", "webhook", "settings-webhooks"),
)


@page
def search(request: HttpRequest) -> HttpResponse:
    by = caller(request)
    printed = "".join(char if char.isprintable() else " " for char in request.GET.get("q", ""))
    q = " ".join(printed.split())[:LONGEST]
    groups = [group for group in (_found(by, q) if q else _start(by)) if group[1]]
    context = {"q": q, "groups": groups, "count": sum(len(hits) for _, hits in groups)}
    if request.headers.get("HX-Request"):  # without the request: what stands beside every page isn't asked for
        return HttpResponse(render_to_string("palette/_found.html", context))
    return render(request, "palette/list.html", context)


def _start(by: Caller) -> list[Group]:
    """What was touched last, and every room."""
    hits = [
        Hit(_label(one.thing), _icon(one.thing), thing=one.thing, said=one.action, at=one.at)
        for one in selectors.recent(by)
    ]
    return [("Recent", hits), ("Go to", list(_rooms(by)))]


def _found(by: Caller, q: str) -> list[Group]:
    adapters = [
        Hit(row.address, "layers", thing=f"adapter:{row.address}", said=row.vertical)
        for row in selectors.adapters(by, q)
    ]
    clients = [
        Hit(row.address, "user", thing=f"client:{row.address}", said=row.vertical)
        for row in selectors.clients(by, q)
    ]
    datasets = [
        Hit(row.address, "database", thing=f"dataset:{row.address}", said=row.vertical)
        for row in selectors.datasets(by, q)
    ]
    bases = [
        Hit(row.name, "box", thing=f"base:{row.name}", said=row.family) for row in selectors.base_models(by, q)
    ]
    jobs = [
        Hit(f"Job {row.pk}", "activity", thing=f"job:{row.pk}", said=_about(row), state=row.state)
        for row in selectors.found_jobs(by, q)
    ]
    rooms = ("Go to", _among(_rooms(by), q))
    meant = any(hit.label.lower().startswith(q.lower()) for hit in rooms[1])  # who types a room's name means it
    return [
        *([rooms] if meant else []), ("Adapters", adapters), ("Versions", _versions(by, q)), ("Clients", clients),
        ("Jobs", jobs), ("Datasets", datasets), ("Base models", bases), *([] if meant else [rooms]),
        ("Commands", _among([*_acts(by), *_settings(by)], q)),
    ]  # fmt: skip


def _about(job: Job) -> str:
    """`train health/triage`: its kind, and what it is about."""
    return f"{job.kind.replace('_', ' ')} {job.object.partition(':')[2]}".strip()


def _versions(by: Caller, q: str) -> list[Hit]:
    """Of adapters, datasets and base models: what an address with an `@` names."""
    found = (
        ("adapter", selectors.adapter_versions(by, q)),
        ("dataset", selectors.dataset_versions(by, q)),
        ("base", selectors.base_versions(by, q)),
    )
    return [
        Hit(
            row.address, _icon(f"{kind}:"), thing=f"{kind}:{row.address}", said=f"{kind} version", state=row.status
        )
        for kind, rows in found
        for row in rows
    ]


def _among(hits: Iterable[Hit], q: str) -> list[Hit]:
    """Those that hold every word that was typed."""
    words = q.lower().removeprefix("go to ").split()
    return [hit for hit in hits if all(word in hit.label.lower() for word in words)][:MOST_COMMANDS]


def _rooms(by: Caller) -> Iterable[Hit]:
    for places in navigation.places(by).values():
        for place in places:
            yield Hit(place.label, place.icon, url=reverse(place.route))


def _acts(by: Caller) -> Iterable[Hit]:
    allowed = {Act.READ, *([Act.TRAIN] if rights.may_anywhere(by, Act.TRAIN) else ())}
    for label, icon, route, narrowed, takes in COMMANDS:
        try:
            url = reverse(route)
        except NoReverseMatch:
            continue
        if takes in allowed or (takes == Act.INSTALL and administers(by)):
            yield Hit(label, icon, url=f"{url}{narrowed}")


def _settings(by: Caller) -> Iterable[Hit]:
    """The tabs of each team's settings that the caller may open."""
    owned = set(teams(by, Act.ADMIN).values_list("slug", flat=True))
    for slug in teams(by).order_by("slug").values_list("slug", flat=True):
        for label, icon, route in (*OF_TEAM, *(OF_OWNER if slug in owned else ())):
            yield Hit(f"{label} of {slug}", icon, url=reverse(route, args=[slug]), said="settings")


ICONS = {
    "adapter": "layers",
    "client": "user",
    "job": "activity",
    "dataset": "database",
    "base": "box",
    "campaign": "refresh-cw",
}


def _label(thing: str) -> str:
    """An address, or the kind of what has only a number."""
    kind, _, name = thing.partition(":")
    return f"{kind.capitalize()} {name}" if kind in ("job", "campaign") else name


def _icon(thing: str) -> str:
    return ICONS[thing.partition(":")[0]]


urlpatterns = [path("search", search, name="search")]
