"""What a training run looks up."""

from __future__ import annotations

from registry.access import SYSTEM, Act
from registry.models import Adapter, AdapterVersion, Alias
from registry.selectors import addresses


def production(adapter: Adapter) -> AdapterVersion | None:
    """The version that `production` points to."""
    rows = Alias.objects.select_related(
        "version__base_version__base_model",
        "version__base_version__manifest",
        "version__adapter__team",
        "version__manifest",
    )
    alias = rows.filter(adapter=adapter, name="production", deleted_at__isnull=True).first()
    return alias.version if alias else None


def warm_start(address: str) -> AdapterVersion:
    """The version to begin from, which submitting pinned to one of the adapter's own team."""
    return addresses.adapter_version(SYSTEM, Act.READ, address, param="recipe.warm_start")
