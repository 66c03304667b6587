"""The recipe of a training run: its fields, presets, validation, hash, and the modules it reaches."""

from registry.recipes.modules import matching
from registry.recipes.recipe import DEFAULTS, FIELDS, PRESETS, Recipe, faults, learning_rate_for, resolve
from registry.recipes.rules import RecipeError
from registry.recipes.shortest import shortest
from registry.recipes.verticals import preset_of

__all__ = [
    "DEFAULTS",
    "FIELDS",
    "PRESETS",
    "Recipe",
    "RecipeError",
    "faults",
    "learning_rate_for",
    "matching",
    "preset_of",
    "resolve",
    "shortest",
]
