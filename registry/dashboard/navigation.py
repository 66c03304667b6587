"""What stands beside every page: the rooms, with counts, and what is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from registry.access import Caller, administers
from registry.dashboard.callers import caller
from registry.selectors import actors, freezes, overview


@dataclass(frozen=True)
class Place:
    """A room that there is: its word, icon and route, and which of the counts stands beside it."""

    label: str
    icon: str
    route: str
    counted: str = ""


PLACES = {
    "main": (
        Place("Overview", "layout-dashboard", "overview"),
        Place("Adapters", "layers", "adapters", "adapters"),
        Place("Lineage", "git-branch", "lineage", "stale"),
        Place("Jobs", "activity", "jobs", "jobs"),
        Place("Clients", "users", "clients", "clients"),
        Place("Playground", "messages-square", "playground"),
    ),
    "sources": (
        Place("Base models", "box", "base-models", "bases"),
        Place("Datasets", "database", "datasets", "datasets"),
    ),
    "operate": (
        Place("Campaigns", "refresh-cw", "campaigns"),
        Place("Freezes", "snowflake", "freezes"),
        Place("Serving", "server", "serving"),
        Place("Audit log", "scroll-text", "audit"),
        Place("Settings", "settings", "settings"),
    ),
}
ADMINISTRATION = (
    Place("Accounts", "user-cog", "users"),
    Place("Legal holds", "lock", "holds"),
    Place("Storage", "hard-drive", "storage"),
)


@dataclass(frozen=True)
class Room:
    label: str
    icon: str
    url: str
    count: int = 0
    warn: bool = False
    current: bool = False


def places(by: Caller) -> dict[str, tuple[Place, ...]]:
    """The rooms that the caller may enter, as they stand under each other."""
    return {**PLACES, "operate": PLACES["operate"] + (ADMINISTRATION if administers(by) else ())}


def rooms(request: HttpRequest) -> dict[str, Any]:
    """A context processor; nothing for those who aren't signed in."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    by = caller(request)
    counts = overview.counts(by)
    frozen = freezes.shown(by)

    def room(place: Place) -> Room:
        url = reverse(place.route)
        here = request.path == url or (url != "/" and request.path.startswith(f"{url}/"))
        warn = place.counted == "stale"
        return Room(place.label, place.icon, url, counts.get(place.counted, 0), warn, here)

    return {
        "frozen": frozen,
        "freezers": actors.of_rows(by, [freeze for freeze, _ in frozen]),
        "nav": {section: [room(place) for place in some] for section, some in places(by).items()},
    }
