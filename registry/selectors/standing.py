"""How the caller's adapters stand on the versions of one base model."""

from __future__ import annotations

from dataclasses import dataclass

from registry.access import Caller, visible
from registry.choices import BaseStatus
from registry.models import BaseModel, BaseVersion
from registry.selectors import base_models, staleness


@dataclass
class Standing:
    """A base version with its adapter versions that matter: those fresh, stale, and stale but waived."""

    version: BaseVersion
    state: str
    fresh: int = 0
    stale: int = 0
    waived: int = 0


def timeline(by: Caller, base: BaseModel) -> list[Standing]:
    """Newest first; what was active and is not current any more is superseded."""
    rows = {row.pk: Standing(row, _state(row, base)) for row in base_models.timeline(by, base)}
    mattering = visible(by, staleness.that_matter(), team="adapter__team").filter(base_version__in=list(rows))
    for pk in mattering.values_list("base_version", flat=True):
        rows[pk].fresh += 1
    for found in staleness.listing(by, base_model=base.name):
        row = rows[found.version.base_version_id]
        row.fresh -= 1
        if found.waived_until is None:
            row.stale += 1
        else:
            row.waived += 1
    return list(rows.values())


def _state(row: BaseVersion, base: BaseModel) -> str:
    if base.current_id == row.pk:
        return "current"
    return "superseded" if row.status == BaseStatus.ACTIVE else row.status
