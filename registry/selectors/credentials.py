"""Who sent this credential."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone

from registry import credentials
from registry.models import ApiToken, Team, User

# A revoked token is refused within one second by every process; half of it is left for the rest of the way.
REMEMBERED_SECONDS = 0.5
MOST_REMEMBERED = 1000
# By the SHA-256 of the text: until when (monotonic) its token need not be asked for again.
_remembered: dict[str, tuple[float, ApiToken]] = {}


def api_token(text: str) -> ApiToken | None:
    """The living token that `text` is, or None: unknown, expired, revoked and wrong look the same."""
    parts = credentials.split("plt", text)
    if parts is None:
        return None
    prefix, secret = parts
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    token = (
        ApiToken.objects.select_related("team", "owner")
        .defer(
            "owner__password", "owner__first_name", "owner__last_name", "owner__last_login", "owner__date_joined"
        )
        .filter(alive, prefix=prefix, revoked_at__isnull=True, owner__is_active=True)
        .first()
    )
    return token if token is not None and credentials.matches(secret, token.sha256) else None


@dataclass(frozen=True)
class Ticket:
    """`person` asks for `model` alone; `team` is whose traffic that is."""

    person: User
    team: Team
    model: str


def ticket(text: str) -> Ticket | None:
    """Whose ticket `text` is, as long as that account is open. What the person may do is asked by whoever acts."""
    says = credentials.read_ticket(text)
    if says is None:
        return None
    person = User.objects.filter(pk=says["person"], is_active=True).first()
    team = Team.objects.filter(pk=says["team"]).first()
    return Ticket(person, team, says["model"]) if person is not None and team is not None else None


def recent_api_token(text: str) -> ApiToken | None:
    """`api_token` as it was at most half a second ago: it is asked for with every request, mostly the same one."""
    key, now = credentials.hashed(text), time.monotonic()
    until, token = _remembered.get(key, (0.0, None))
    if token is not None and now < until:
        return token if token.expires_at is None or token.expires_at > timezone.now() else None
    token = api_token(text)
    if token is not None:
        if len(_remembered) >= MOST_REMEMBERED:
            _remembered.clear()
        _remembered[key] = (now + REMEMBERED_SECONDS, token)
    return token


def forget() -> None:
    """This process asks anew for every token; the others do within `REMEMBERED_SECONDS`."""
    _remembered.clear()
