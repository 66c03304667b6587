"""What stands beside every page: the rooms, with counts, and what is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from registry.access import administers
from registry.dashboard.callers import caller
from registry.selectors import actors, freezes, overview


@dataclass(frozen=True)
class Room:
    label: str
    icon: str
    url: str
    count: int = 0
    warn: bool = False
    current: bool = False


def rooms(request: HttpRequest) -> dict[str, Any]:
    """A context processor; nothing for those who aren't signed in."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    by = caller(request)
    counts = overview.counts(by)
    frozen = freezes.shown(by)

    def room(label: str, icon: str, name: str, count: int = 0, *, warn: bool = False) -> Room:
        url = reverse(name)
        here = request.path == url or (url != "/" and request.path.startswith(f"{url}/"))
        return Room(label, icon, url, count, warn, here)

    administration = [
        room("Accounts", "user-cog", "users"),
        room("Legal holds", "lock", "holds"),
        room("Storage", "hard-drive", "storage"),
    ]
    return {
        "frozen": frozen,
        "freezers": actors.of_rows(by, [freeze for freeze, _ in frozen]),
        "nav": {
            "main": [
                room("Overview", "layout-dashboard", "overview"),
                room("Adapters", "layers", "adapters", counts["adapters"]),
                room("Lineage", "git-branch", "lineage", counts["stale"], warn=True),
                room("Jobs", "activity", "jobs", counts["jobs"]),
                room("Clients", "users", "clients", counts["clients"]),
                room("Playground", "messages-square", "playground"),
            ],
            "sources": [
                room("Base models", "box", "base-models", counts["bases"]),
                room("Datasets", "database", "datasets", counts["datasets"]),
            ],
            "operate": [
                room("Campaigns", "refresh-cw", "campaigns"),
                room("Freezes", "snowflake", "freezes"),
                room("Serving", "server", "serving"),
                room("Audit log", "scroll-text", "audit"),
                room("Settings", "settings", "settings"),
                *(administration if administers(by) else []),
            ],
        },
    }
