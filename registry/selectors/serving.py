"""Which engines run, what they hold, and what they ought to hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require_scope, seen_teams
from registry.choices import SERVABLE_BASE_STATES, PromotionState, VersionStatus
from registry.models import (
    AdapterVersion,
    Alias,
    AssignmentMove,
    BaseVersion,
    Promotion,
    ServingInstance,
    ServingWish,
    Worker,
)
from registry.selectors import use

WISH_HOLDS = timedelta(minutes=15)
SHOWN = timedelta(minutes=1)  # an engine that went without a word is listed for so long


def listing(by: Caller) -> QuerySet[ServingInstance]:
    """Engines belong to all; what they hold is narrowed by `own`."""
    require_scope(by, Act.READ)
    shown = timezone.now() - SHOWN
    return ServingInstance.objects.filter(last_tick__gt=shown).select_related("base_version__base_model")


def own(by: Caller, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those entries of an engine's report that name an adapter of the caller's teams."""
    if by.system:
        return entries
    seen = set(seen_teams(by).values_list("slug", flat=True))
    return [entry for entry in entries if str(entry["address"]).split("/")[0] in seen]


def workers(by: Caller) -> QuerySet[Worker]:
    require_scope(by, Act.READ)
    return Worker.objects.all()


def base_version(address: str) -> BaseVersion | None:
    """`NAME@N` with its stored files, for the process that serves it."""
    name, _, number = address.partition("@")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    rows = BaseVersion.objects.select_related("base_model", "manifest")
    return rows.filter(base_model__name=name, number=int(number)).first()


def _reached_by_clients() -> Q:
    """What an open or coming assignment names (by alias, pinned, as canary), or a promotion or move waits for."""
    living = use.open_assignments()
    waiting = Promotion.objects.filter(state=PromotionState.WAITING)
    moves = AssignmentMove.objects.filter(state=PromotionState.WAITING)
    return (
        Q(pk__in=living.filter(version__isnull=False).values("version"))
        | Q(pk__in=living.filter(canary_version__isnull=False).values("canary_version"))
        | Q(pk__in=Alias.objects.filter(pk__in=living.values("alias")).values("version"))
        | Q(pk__in=waiting.values("version"))
        | Q(pk__in=moves.filter(version__isnull=False).values("version"))
        | Q(pk__in=moves.filter(canary_version__isnull=False).values("canary_version"))
        | Q(pk__in=Alias.objects.filter(pk__in=moves.values("alias")).values("version"))
    )


def wanted(base: BaseVersion) -> QuerySet[AdapterVersion]:
    """The versions that an engine of `base` ought to hold: what clients reach, `production` and recent wishes."""
    wishes = ServingWish.objects.filter(asked_at__gt=timezone.now() - WISH_HOLDS)
    production = Alias.objects.filter(name="production", deleted_at__isnull=True)
    reached = _reached_by_clients() | Q(pk__in=production.values("version")) | Q(pk__in=wishes.values("version"))
    rows = AdapterVersion.objects.filter(reached, base_version=base, status=VersionStatus.READY)
    return rows.select_related("adapter__team", "manifest").order_by("pk")


def wanted_bases() -> list[str]:
    """Addresses of the base versions that need an engine: each current one, and what clients reach."""
    reached = AdapterVersion.objects.filter(_reached_by_clients(), status=VersionStatus.READY)
    rows = BaseVersion.objects.filter(
        Q(current_of__isnull=False) | Q(pk__in=reached.values("base_version")),
        status__in=SERVABLE_BASE_STATES,
    )
    return [row.address for row in rows.select_related("base_model").distinct().order_by("pk")]
