"""A recipe as the job page shows it: what differs from its preset first, then the rest of what is set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from registry import recipes
from registry.models import TrainingSpec

Field = tuple[str, Any]


@dataclass
class Shown:
    preset: str = "default"
    differs: list[Field] = field(default_factory=list)
    rest: list[Field] = field(default_factory=list)


def of(spec: TrainingSpec) -> Shown:
    base = spec.base_version
    preset = str(spec.recipe.get("preset") or "default")
    usual: dict[str, Any] = {}
    if preset in recipes.PRESETS and base.parameter_count and base.context_length:
        found = recipes.resolve(
            {"preset": preset}, parameter_count=base.parameter_count, context_length=base.context_length
        )
        usual = found.as_dict()
    shown = Shown(preset)
    for name, value in spec.recipe.items():
        if name == "preset" or value is None or value in ("", [], {}):
            continue
        same = not usual or usual.get(name) == value
        (shown.rest if same else shown.differs).append((name, value))
    return shown
