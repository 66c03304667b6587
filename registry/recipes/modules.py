"""Which modules of a base model a recipe adapts.

A module table is what a worker read from the model class: [{"name", "kind", "shape"}], where kind is
`linear`, `embedding`, `head`, `norm` or the class name of anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.recipes.rules import RecipeError, problem


def matching(module_table: Sequence[Mapping[str, Any]], targets: str | Sequence[str]) -> list[str]:
    """The full names of the linear modules that `targets` means, in the table's order.

    `all-linear`, `attention`, `mlp`, a list of name endings, or `re:` and a pattern that matches whole names.
    The output head and embeddings are never adapted. Raises RecipeError where something names nothing.
    """
    names = [row["name"] for row in module_table if row["kind"] == "linear"]
    chosen = _chosen(names, targets)
    if not chosen:
        raise RecipeError(
            [problem("targets", "no_match", f"targets {targets!r} matches no module; {_existing(names)}")]
        )
    return chosen


def _chosen(names: list[str], targets: str | Sequence[str]) -> list[str]:
    if targets == "all-linear":
        return names
    if isinstance(targets, str) and targets.startswith("re:"):
        return [name for name in names if re.fullmatch(targets[3:], name)]
    if targets == "attention":
        return [name for name in names if re.search(r"att(n|ention)", name.rpartition(".")[0])]
    if targets == "mlp":
        return [name for name in names if re.search(r"mlp|feed_forward|ffn|expert|moe", name.rpartition(".")[0])]
    suffixes = [targets] if isinstance(targets, str) else list(targets)
    lost = [one for one in suffixes if not any(_is_suffix(name, one) for name in names)]
    if lost:
        listed = ", ".join(map(repr, lost))
        raise RecipeError(
            [problem("targets", "no_match", f"no linear module is called {listed}; {_existing(names)}")]
        )
    return [name for name in names if any(_is_suffix(name, one) for one in suffixes)]


def _is_suffix(name: str, suffix: str) -> bool:
    return name == suffix or name.endswith(f".{suffix}")


def ends_with(name: str, pattern: str) -> bool:
    """PEFT's rule for rank_pattern and alpha_pattern."""
    return re.match(rf"(.*\.)?({pattern})$", name) is not None


def _existing(names: Sequence[str]) -> str:
    return "this base model has " + (
        ", ".join(sorted({n.rpartition(".")[2] for n in names})) or "no linear modules"
    )
