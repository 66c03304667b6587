"""The ticks of engines, and wishes for versions. Telemetry, so not audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from registry.models import AdapterVersion, BaseVersion, ServingInstance, ServingWish

FORGOTTEN = timedelta(minutes=10)
WISH_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Report:
    """What an engine said of itself last.

    `loaded`: ``{"version", "address", "digest"}``; `problems`: ``{"version", "address", "message"}``.
    """

    engine: str
    pid: int | None = None
    base_loads: int = 0
    swap_ms: float | None = None
    loaded: Sequence[dict[str, Any]] = ()
    problems: Sequence[dict[str, Any]] = ()


def tick(*, url: str, base_version: BaseVersion, report: Report) -> None:
    """Register the engine at `url`, or note that it is still there. Clears away what went without a word."""
    fields = {
        "base_version": base_version,
        "engine": report.engine,
        "pid": report.pid,
        "base_loads": report.base_loads,
        "swap_ms": report.swap_ms,
        "loaded": list(report.loaded),
        "problems": list(report.problems),
        "last_tick": Now(),  # by the clock that judges its age
    }
    if not ServingInstance.objects.filter(url=url).update(**fields):
        ServingInstance.objects.filter(last_tick__lt=Now() - FORGOTTEN).delete()
        ServingInstance.objects.update_or_create(url=url, defaults=fields)


def gone(*, url: str) -> None:
    """The engine at `url` has ended."""
    ServingInstance.objects.filter(url=url).delete()


def wish(*, version: AdapterVersion) -> None:
    """A serve token, or somebody in the playground, asked for `version`; written at most once a minute."""
    now = timezone.now()
    made, new = ServingWish.objects.get_or_create(version=version, defaults={"asked_at": now})
    if not new and made.asked_at < now - WISH_AGAIN:
        ServingWish.objects.filter(pk=made.pk).update(asked_at=now)
