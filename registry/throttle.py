"""How often somebody may do what only guessing or flooding needs often, and how many may hold a thread at a time.

Counted in this process alone: a limit of N lets N through each web worker, and a restart begins anew. That is
enough against floods, costs no query, and can't be filled up by strangers.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
import time
from threading import Lock
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest

from registry.errors import RateLimited

if TYPE_CHECKING:
    from registry.models import User

MOST_COUNTED = 10_000
MINUTE, HOUR = 60.0, 3600.0
_lock = Lock()
_spent: dict[tuple[str, str], tuple[float, int]] = {}  # (kind, who) -> when its window began, and how many


def spend(kind: str, who: str, *, most: int, seconds: float) -> int:
    """Count one of `kind` by `who`: 0, or how many seconds to wait where there were `most` in this window."""
    now = time.monotonic()
    with _lock:
        begun, count = _spent.get((kind, who), (now, 0))
        if now - begun >= seconds:
            begun, count = now, 0
        if count >= most:
            return max(1, math.ceil(begun + seconds - now))
        if len(_spent) >= MOST_COUNTED:
            _spent.clear()
        _spent[(kind, who)] = (begun, count + 1)
    return 0


class Places:
    """So many at a time. One that nobody gave back is free again after `seconds`: a server may forget a stream."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._guard = Lock()
        self._taken: dict[int, float] = {}
        self._numbers = itertools.count()

    def take(self, most: int) -> int | None:
        """A place to be given back, or None where `most` are taken."""
        now = time.monotonic()
        with self._guard:
            self._taken = {place: until for place, until in self._taken.items() if until >= now}
            if len(self._taken) >= most:
                return None
            place = next(self._numbers)
            self._taken[place] = now + self.seconds
            return place

    def give_back(self, place: int) -> None:
        with self._guard:
            self._taken.pop(place, None)


def address(peer: str, forwarded: str, proxies: int) -> str:
    """Whom to count: the address that our outermost proxy saw, of IPv6 the network that one household has."""
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()] if proxies else []
    seen = hops[-min(proxies, len(hops))] if hops else peer
    try:
        found = ipaddress.ip_address(seen.partition(":")[0] if seen.count(":") == 1 else seen)
    except ValueError:
        return peer
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found) if found.version == 4 else str(ipaddress.ip_network(f"{found}/64", strict=False))


def count_failure(request: HttpRequest) -> None:
    """A wrong credential. Raises RateLimited after too many of them in a minute; right ones are taken still."""
    most = settings.FAILURES_PER_MINUTE
    wait = spend("failure", sender(request), most=most, seconds=MINUTE)
    if wait:
        text = f"More than {most} wrong credentials a minute came from your address; wait {wait} s."
        raise RateLimited(text, retry_after=wait)


def count_token(person: User | None) -> None:
    """A token that is about to be made. Raises RateLimited where its maker had too many in an hour."""
    wait = spend("token", str(person and person.pk), most=settings.TOKENS_PER_HOUR, seconds=HOUR)
    if wait:
        raise RateLimited(
            f"You made {settings.TOKENS_PER_HOUR} tokens within an hour; use them.", retry_after=wait
        )


def sender(request: HttpRequest) -> str:
    """Where the request came from, as our own proxies saw it."""
    peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")
    return address(peer, forwarded, settings.PROXIES)


def forget() -> None:
    """Begin anew, as after a restart."""
    with _lock:
        _spent.clear()
