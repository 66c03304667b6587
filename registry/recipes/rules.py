"""What each field of a recipe may hold: a rule answers None, or the sentence that says what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from registry.recipes.patterns import fault

Problem = dict[str, str]
Rule = Callable[[Any], str | None]

DTYPES = ("float32", "bfloat16")
NAMED_TARGETS = ("all-linear", "attention", "mlp")


class RecipeError(ValueError):
    """A recipe that can't be used. `errors` holds one {"param", "code", "message"} for each fault."""

    def __init__(self, errors: Sequence[Problem]) -> None:
        super().__init__("; ".join(one["message"] for one in errors))
        self.errors = list(errors)


def problem(param: str, code: str, message: str) -> Problem:
    """One fault, as the API reports it."""
    return {"param": f"recipe.{param}", "code": code, "message": message}


def whole(low: int, high: int) -> Rule:
    def rule(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be a whole number from {low} to {high}"

    return rule


def number(low: float, high: float, *, open_low: bool = False) -> Rule:
    span = f"above {low:g} and at most {high:g}" if open_low else f"from {low:g} to {high:g}"

    def rule(value: Any) -> str | None:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        fits = real and low <= value <= high and not (open_low and value == low)
        return None if fits else f"must be a number {span}"

    return rule


def choice(*allowed: str) -> Rule:
    def rule(value: Any) -> str | None:
        return None if isinstance(value, str) and value in allowed else f"must be {' or '.join(allowed)}"

    return rule


def truth(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a text"


def pattern(value: Any) -> str | None:
    """A regular expression that is short, compiles, and can't run for ever."""
    return fault(value) if isinstance(value, str) else "must be a pattern"


def targets(value: Any) -> str | None:
    if isinstance(value, str):
        if value.startswith("re:"):
            return pattern(value[3:])
        return (
            None
            if value in NAMED_TARGETS
            else f"must be {', '.join(NAMED_TARGETS)}, a list of module names or re:pattern"
        )
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) and one for one in value):
        return "must be a list of module names that isn't empty"
    never = [one for one in value if re.search(r"lm_head|embed", one)]
    return f"must leave out {', '.join(never)}: output heads and embeddings are never adapted" if never else None


def patterns(of: Rule) -> Rule:
    def rule(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be an object of module name patterns"
        faults = (f"{key!r} {wrong}" for key, item in value.items() if (wrong := pattern(key) or of(item)))
        return next((f"holds a bad entry: {wrong}" for wrong in faults), None)

    return rule


RULES: dict[str, Rule] = {
    "method": choice("lora", "qlora"),
    "rank": whole(1, 1024),
    "alpha": number(0, 65536, open_low=True),
    "rslora": truth,
    "dropout": number(0, 0.95),
    "targets": targets,
    "rank_pattern": patterns(whole(1, 1024)),
    "alpha_pattern": patterns(number(0, 65536, open_low=True)),
    "learning_rate": number(0, 1, open_low=True),
    "schedule": choice("cosine", "linear", "constant"),
    "warmup_steps": whole(0, 1_000_000),
    "weight_decay": number(0, 1),
    "clip_norm": number(0, 1e6, open_low=True),
    "steps": whole(1, 10_000_000),
    "epochs": number(0, 10_000, open_low=True),
    "batch_size": whole(1, 65536),
    "batch_tokens": whole(8, 100_000_000),
    "accumulation": whole(1, 65536),
    "max_length": whole(8, 10_000_000),
    "truncation": choice("left", "right", "error"),
    "packing": truth,
    "loss_on": choice("completion", "all"),
    "train_on": choice("train", "all"),
    "validate_every": whole(1, 10_000_000),
    "keep_best": truth,
    "early_stopping_patience": whole(1, 100_000),
    "checkpoint_seconds": number(0, 86_400),
    "seed": whole(0, 2**63 - 1),
    "dtype": choice(*DTYPES),
    "storage_dtype": choice(*DTYPES),
    "gradient_checkpointing": truth,
    "warm_start": text,
}
