"""The recipe: every hyper-parameter of a training run, resolved, frozen and hashed.

What a caller leaves out comes from a preset, and from the size and context of the base model:

    raw {"rank": 8, "steps": 150}  --resolve-->  Recipe(rank=8, steps=150, learning_rate=..., ...)

`resolve` reports everything that is wrong at once. No Django, no torch: the web process validates with
it, and the training child reads it back with `Recipe.from_dict`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from registry.recipes import verticals
from registry.recipes.modules import ends_with
from registry.recipes.rules import RULES, Problem, RecipeError, problem

SMALL_BASE = 100_000_000  # parameters; smaller bases train in fp32, where bf16 only costs accuracy


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All fields of a run, none left open but what is None by meaning.

    - `steps` or `epochs`: one of them is None.
    - `batch_size` (rows of one forward pass) or `batch_tokens` (tokens of one): one of them is None. An
      optimiser step sees `accumulation` such batches, and divides by the labelled tokens of all of them.
    - `packing` changes the layout of a batch, never its loss: rows lie end to end in lines of at most
      `max_length` tokens, where none can see another. With `batch_tokens`, the lines of the whole epoch are
      filled best-fit, and a batch is batch_tokens // max_length of them.
    - `truncation` of a row longer than `max_length`: `left` drops the oldest tokens of the prompt, `right` the
      newest, both keep the answer; `error` fails the job.
    - `loss_on`: `completion` = assistant turns, the completion, all of a plain text; `all` = every token.
    - `train_on`: `train` = the training split; `all` = training and validation rows (so nothing is left to
      select by: no keep_best, no early stopping). The test split is never trained on.
    - `checkpoint_seconds`: at least this long between two checkpoints; 0 = after every step.
    - `dtype` is that of the base and its activations; the adapter trains in fp32 and is stored as
      `storage_dtype`.
    """

    preset: str
    method: str
    rank: int
    alpha: float
    rslora: bool
    dropout: float
    targets: str | tuple[str, ...]
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    learning_rate: float
    schedule: str
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    steps: int | None
    epochs: float | None
    batch_size: int | None
    batch_tokens: int | None
    accumulation: int
    max_length: int
    truncation: str
    packing: bool
    loss_on: str
    train_on: str
    validate_every: int
    keep_best: bool
    early_stopping_patience: int | None
    checkpoint_seconds: float
    seed: int
    dtype: str
    storage_dtype: str
    gradient_checkpointing: bool
    warm_start: str | None

    @classmethod
    def from_dict(cls, resolved: Mapping[str, Any]) -> Recipe:
        """The inverse of `as_dict`; a resolved recipe only, nothing is filled in."""
        values = dict(resolved)
        if isinstance(values.get("targets"), list):
            values["targets"] = tuple(values["targets"])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order of the fields."""
        values = asdict(self)
        if isinstance(self.targets, tuple):
            values["targets"] = list(self.targets)
        return values

    def canonical(self) -> str:
        """Canonical JSON, equal when two recipes train alike: `preset` only says where values came from."""
        values = {name: value for name, value in self.as_dict().items() if name != "preset"}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def rank_of(self, name: str) -> int:
        """The rank of one module: the first key of `rank_pattern` that ends its name, else `rank`."""
        return next((r for key, r in self.rank_pattern.items() if ends_with(name, key)), self.rank)


FIELDS = tuple(field.name for field in fields(Recipe))

DEFAULTS: dict[str, Any] = {
    "method": "lora",
    "rank": 16,
    "rslora": False,
    "dropout": 0.0,
    "targets": "all-linear",
    "rank_pattern": {},
    "alpha_pattern": {},
    "schedule": "linear",
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "steps": None,
    "epochs": 3.0,
    "batch_size": 8,
    "batch_tokens": None,
    "accumulation": 1,
    "truncation": "left",
    "packing": True,
    "loss_on": "completion",
    "train_on": "train",
    "validate_every": 50,
    "keep_best": True,
    "early_stopping_patience": None,
    "checkpoint_seconds": 60.0,
    "seed": 1,
    "storage_dtype": "bfloat16",
    "gradient_checkpointing": False,
    "warm_start": None,
}
# What differs from DEFAULTS; a recipe that names no preset is filled from the first.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {"rank": 8, "epochs": None, "steps": 30, "validate_every": 10},
    "small": {"rank": 4, "targets": "attention"},
    "thorough": {"epochs": 5.0, "schedule": "cosine", "early_stopping_patience": 3},
    "qlora": {"method": "qlora", "gradient_checkpointing": True, "batch_size": 2, "accumulation": 4},
    **verticals.PRESETS,
}
EXCLUSIVE = (("steps", "epochs"), ("batch_size", "batch_tokens"))


def resolve(raw: Mapping[str, Any], *, parameter_count: int, context_length: int) -> Recipe:
    """The whole recipe that `raw` asks for, on a base of that many parameters and tokens of context.

    1. Check names and values; 2. fill from the preset; 3. fill what the base decides; 4. check the whole.
    Raises RecipeError with every fault found.
    """
    errors = faults(raw)
    given = {name: value for name, value in raw.items() if value is not None and name in FIELDS}
    if isinstance(context_length, int) and _exceeds(given.get("max_length"), context_length):
        text = f"max_length {given['max_length']} exceeds the base model's context of {context_length} tokens"
        errors.append(problem("max_length", "too_large", text))
    if errors:
        raise RecipeError(errors)
    values = _filled(given, parameter_count, context_length)
    if values["steps"] is not None and values["warmup_steps"] >= values["steps"]:
        text = f"warmup_steps {values['warmup_steps']} must be below steps {values['steps']}"
        raise RecipeError([problem("warmup_steps", "too_large", text)])
    return Recipe(**values)


def faults(raw: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a recipe whatever base it is for."""
    return [*_unknown(raw), *_bad_values(raw), *_both(raw)]


def learning_rate_for(parameter_count: int) -> float:
    """3e-3 at 0.3 million parameters and 2e-4 at a billion, a cube root between them, two digits."""
    rate = 3e-3 * (300_000 / max(parameter_count, 1)) ** (1 / 3)
    return float(f"{min(3e-3, max(2e-4, rate)):.1e}")


def _unknown(raw: Mapping[str, Any]) -> list[Problem]:
    return [problem(name, "unknown_field", _hint(str(name))) for name in raw if name not in FIELDS]


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.6)
    return f"unknown recipe field {name!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"the fields are {', '.join(FIELDS)}"
    )


def _bad_values(raw: Mapping[str, Any]) -> list[Problem]:
    found = []
    for name, value in raw.items():
        if name == "preset" and (not isinstance(value, str | None) or (value or "default") not in PRESETS):
            found.append(problem(name, "invalid", f"preset {value!r} is unknown; use one of {', '.join(PRESETS)}"))
        elif name in RULES and value is not None and (message := RULES[name](value)):
            found.append(problem(name, "invalid", f"{name} {message}, not {value!r}"))
    return found


def _both(raw: Mapping[str, Any]) -> list[Problem]:
    pairs = [(a, b) for a, b in EXCLUSIVE if raw.get(a) is not None and raw.get(b) is not None]
    return [problem(b, "conflict", f"give {a} or {b}, not both") for a, b in pairs]


def _exceeds(value: Any, limit: int) -> bool:
    return isinstance(value, int) and value > limit


def _filled(given: Mapping[str, Any], parameter_count: int, context_length: int) -> dict[str, Any]:
    preset = given.get("preset", "default")
    values = {**DEFAULTS, **PRESETS[preset], "preset": preset}
    for pair in EXCLUSIVE:
        if any(name in given for name in pair):
            values.update(dict.fromkeys(pair))
    values.update(given)
    steps = values["steps"]
    values.setdefault("alpha", 2 * values["rank"])
    values.setdefault("warmup_steps", 10 if steps is None else min(10, steps // 10))
    values.setdefault("max_length", min(2048, context_length))
    values.setdefault("learning_rate", learning_rate_for(parameter_count))
    values.setdefault("dtype", "float32" if parameter_count < SMALL_BASE else "bfloat16")
    return _normal(values)


def _normal(values: dict[str, Any]) -> dict[str, Any]:
    """One spelling for one value: 16 and 16.0, a list of targets in any order."""
    for name in (
        "alpha",
        "dropout",
        "learning_rate",
        "weight_decay",
        "clip_norm",
        "epochs",
        "checkpoint_seconds",
    ):
        values[name] = None if values[name] is None else float(values[name])
    values["alpha_pattern"] = {key: float(value) for key, value in values["alpha_pattern"].items()}
    values["rank_pattern"] = dict(values["rank_pattern"])
    if not isinstance(values["targets"], str):
        values["targets"] = tuple(sorted(set(values["targets"])))
    return values
