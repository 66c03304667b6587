"""A whole recipe said in few words again, so that a form shows what somebody chose and not what followed of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.recipes.recipe import FIELDS, Recipe, resolve
from registry.recipes.rules import RecipeError


def shortest(whole: Mapping[str, Any], *, parameter_count: int, context_length: int) -> dict[str, Any]:
    """The preset and the fewest fields that resolve to `whole`, a resolved recipe, on such a base.

    Where its preset has changed since, or is gone, more fields are named; a recipe from before a field was there
    is named as it is.
    """
    size = {"parameter_count": parameter_count, "context_length": context_length}
    said = {name: value for name, value in whole.items() if value is not None}
    if set(whole) != set(FIELDS):
        return said
    wanted = Recipe.from_dict(whole).sha256
    words = next((one for one in (said, {**said, "preset": "default"}) if _hash(one, **size) == wanted), said)
    for name in [name for name in words if name != "preset"]:
        fewer = {word: value for word, value in words.items() if word != name}
        if _hash(fewer, **size) == wanted:
            words = fewer
    return {name: value for name, value in words.items() if (name, value) != ("preset", "default")}


def _hash(words: Mapping[str, Any], **size: int) -> str | None:
    """None where this is no recipe any more, such as warm-up beyond the last step."""
    try:
        return resolve(words, **size).sha256
    except RecipeError:
        return None
