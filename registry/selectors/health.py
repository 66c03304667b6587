"""Can this installation work, and what does it do right now? Counts only: nothing of any team."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db.models import Count
from django.db.models.functions import Now

from registry.choices import JobState, PromotionState
from registry.models import Assignment, Job, Promotion, Receipt, Worker
from registry.selectors import engines
from registry.storage import StoreError, artifact_key, store

FRESH = timedelta(seconds=30)
OK = "ok"


@dataclass(frozen=True)
class Readiness:
    database: str
    store: str
    workers: int | None
    engines: int | None

    @property
    def ready(self) -> bool:
        return self.database == self.store == OK

    @property
    def body(self) -> dict[str, Any]:
        return {
            "status": OK if self.ready else "unavailable",
            "database": self.database,
            "store": self.store,
            "workers": self.workers,
            "engines": self.engines,
        }


def readiness() -> Readiness:
    """Asks the database and the store. Never raises."""
    workers = serving = None
    try:
        workers = Worker.objects.filter(last_tick__gt=Now() - FRESH).count()
        serving = engines.living().count()
        database = OK
    except DatabaseError:
        database = "away"
    return Readiness(database, _store(), workers, serving)


def _store() -> str:
    try:
        store().size(artifact_key("0" * 64))
    except (StoreError, OSError):
        return "away"
    return OK


def metrics() -> str:
    """Gauges in Prometheus' text format."""
    states = dict(Job.objects.values_list("state").annotate(count=Count("pk")).order_by())
    lines = [
        *_gauge("jobs", "Jobs by state", ((f'{{state="{state}"}}', states.get(state, 0)) for state in JobState)),
        *_gauge("workers", "Workers that ticked lately", _one(Worker.objects.filter(last_tick__gt=Now() - FRESH))),
        *_gauge(
            "promotions_waiting",
            "Promotions that wait for an engine",
            _one(Promotion.objects.filter(state=PromotionState.WAITING)),
        ),
        *_gauge("assignments_open", "Open assignments", _one(Assignment.objects.filter(valid_to__isnull=True))),
        *_gauge("receipts", "Answered requests on record", _one(Receipt.objects.all())),
        *_engines(),
    ]
    return "\n".join(lines) + "\n"


def _engines() -> list[str]:
    rows = [(f'{{base="{row.base_version.address}",url="{row.url}"}}', row) for row in engines.living()]
    return [
        *_gauge("engine_adapters", "Adapters that an engine holds", ((tag, len(row.loaded)) for tag, row in rows)),
        *_gauge("engine_problems", "Adapters it refused", ((tag, len(row.problems)) for tag, row in rows)),
        *_gauge("engine_base_loads", "Times it read its base", ((tag, row.base_loads) for tag, row in rows)),
    ]


def _one(rows: Any) -> list[tuple[str, int]]:
    return [("", rows.count())]


def _gauge(name: str, says: str, values: Iterable[tuple[str, int]]) -> list[str]:
    head = [f"# HELP plethora_{name} {says}.", f"# TYPE plethora_{name} gauge"]
    return head + [f"plethora_{name}{labels} {value}" for labels, value in values]
