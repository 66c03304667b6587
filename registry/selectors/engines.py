"""Which engines have a version loaded right now."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from registry.models import AdapterVersion, ServingInstance

FRESH = timedelta(seconds=5)
OWN_ENGINE = "plethora"  # what our engine calls itself


def living() -> QuerySet[ServingInstance]:
    """Instances that ticked lately, by the database's clock."""
    return ServingInstance.objects.select_related("base_version__base_model").filter(last_tick__gt=Now() - FRESH)


def answers(engine: ServingInstance) -> bool:
    """Whether it has loaded its base: ours says so, and ticks before; a foreign one is started before us."""
    return engine.engine != OWN_ENGINE or engine.base_loads > 0


def ready_for(version: AdapterVersion) -> bool:
    """Whether an engine of the version's own base holds it."""
    engines = living().filter(base_version=version.base_version_id).values_list("loaded", flat=True)
    return any(entry.get("version") == version.pk for loaded in engines for entry in loaded)


def problem_with(version: AdapterVersion) -> str | None:
    """Why an engine of its base refuses the version, or None."""
    reports = living().filter(base_version=version.base_version_id).values_list("problems", flat=True)
    return next((str(p.get("message")) for ps in reports for p in ps if p.get("version") == version.pk), None)
