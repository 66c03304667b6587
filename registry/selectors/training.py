"""What a training run looks up."""

from __future__ import annotations

from registry.access import SYSTEM, Act
from registry.models import Adapter, AdapterVersion, Alias, TrainingSpec
from registry.selectors import addresses


def production(adapter: Adapter) -> AdapterVersion | None:
    """The version that `production` points to."""
    rows = Alias.objects.select_related("version__base_version", "version__adapter__team", "version__manifest")
    alias = rows.filter(adapter=adapter, name="production", deleted_at__isnull=True).first()
    return alias.version if alias else None


def warm_start(spec: TrainingSpec, address: str) -> AdapterVersion | None:
    """The version to begin from; it must be the same team's."""
    text = address if "/" in address else f"{spec.adapter.team.slug}/{address}"
    found = addresses.adapter_version(SYSTEM, Act.READ, text, param="recipe.warm_start")
    return found if found.adapter.team_id == spec.adapter.team_id else None
