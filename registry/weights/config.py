"""adapter_config.json by schema: plain LoRA for a causal language model, nothing else.

An unknown field that is set is refused, because it could change the maths; one that is null, false or empty is an
option of a newer PEFT that is not used.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.weights.problems import Problems, refusal

NAME = "adapter_config.json"
MAX_BYTES = 1 << 20
MAX_RANK = 1024
# Their value says how the adapter was made or where it may go, not what it computes.
_INFORMATION = {
    "base_model_name_or_path", "inference_mode", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
    "megatron_core", "peft_version", "qalora_group_size", "revision",
}  # fmt: skip
# These starts change the base's weights: without the changed base the file means something else.
_BASE_CHANGING = re.compile(r"pissa.*|olora|corda|loftq|lora_ga")


@dataclass(frozen=True)
class AdapterConfig:
    """The fields that decide what an adapter computes and which modules PEFT gives it."""

    rank: int
    alpha: float
    rslora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    target_modules: str | tuple[str, ...]
    exclude_modules: str | tuple[str, ...]

    def rank_of(self, module: str) -> int:
        """PEFT's rule: the first pattern that matches the path or its end after a dot."""
        found = (rank for key, rank in self.rank_pattern.items() if re.match(rf"(.*\.)?({key})$", module))
        return next(found, self.rank)

    def targets(self, module: str) -> bool:
        """Whether PEFT makes a LoRA layer for this module. Where it doesn't, it drops the tensors in silence."""
        return _named(self.target_modules, module) and not _named(self.exclude_modules, module)


def read_config(path: Path) -> AdapterConfig:
    """The checked config. Raises WeightsError with everything that is wrong."""
    fields = _fields(path)
    problems = Problems()
    for name, value in fields.items():
        _check_field(problems, name, value)
    for name in ("peft_type", "r", "lora_alpha", "target_modules"):
        if name not in fields:
            problems.add(name, "missing", f"is missing from {NAME}")
    problems.raise_if_any()
    return AdapterConfig(
        rank=fields["r"],
        alpha=float(fields["lora_alpha"]),
        rslora=bool(fields.get("use_rslora")),
        rank_pattern=fields.get("rank_pattern") or {},
        alpha_pattern=fields.get("alpha_pattern") or {},
        target_modules=_words(fields["target_modules"]),
        exclude_modules=_words(fields.get("exclude_modules") or ()),
    )


def _fields(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise refusal(NAME, "missing", "is missing: upload the folder that PEFT's save_pretrained wrote")
    if path.stat().st_size > MAX_BYTES:
        raise refusal(NAME, "too_large", f"is larger than {MAX_BYTES} bytes")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise refusal(NAME, "bad_json", f"is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise refusal(NAME, "bad_json", "is no JSON object")
    return fields


def _check_field(problems: Problems, name: str, value: object) -> None:
    if name in _RULES:
        is_good, wanted = _RULES[name]
        if not is_good(value):
            problems.add(name, "invalid", f"is {_short(value)}; it must be {wanted}")
    elif name in ("auto_map", "auto_mapping"):
        if not _is_known_class(name, value):
            problems.add(name, "remote_code", "names code to import, which is never run: remove it")
    elif name not in _INFORMATION and value:
        problems.add(
            name, "unsupported", f"is {_short(value)}: only plain LoRA is supported, leave it out or null"
        )


def _is_natural(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_RANK


def _is_positive(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf  # type: ignore[operator]


def _is_dropout(value: object) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)  # type: ignore[operator]


def _is_targets(value: object) -> bool:
    if isinstance(value, str):
        return value == "all-linear" or is_tame(value)
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word for word in value)


def _is_exclusion(value: object) -> bool:
    return not value or _is_targets(value)


def _pattern_of(is_good: Callable[[object], bool]) -> Callable[[object], bool]:
    def is_pattern(value: object) -> bool:
        if value is None:
            return True
        return isinstance(value, dict) and all(is_tame(key) and is_good(one) for key, one in value.items())

    return is_pattern


def is_tame(pattern: str) -> bool:
    """Whether a regular expression from outside is safe to match: short, no repeated group, at most 3 repeats."""
    if len(pattern) > 200 or re.search(r"\)[*+?{]", pattern) or len(re.findall(r"(?<!\\)[*+{]", pattern)) > 3:
        return False
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_known_class(name: str, value: object) -> bool:
    """PEFT notes the base's class where it knows no task; transformers' own classes are harmless."""
    if not value:
        return True
    library = value.get("parent_library") if isinstance(value, dict) else None
    return name == "auto_mapping" and isinstance(library, str) and library.startswith("transformers.models.")


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "peft_type": (lambda v: v == "LORA", '"LORA"'),
    "task_type": (lambda v: v in (None, "CAUSAL_LM"), '"CAUSAL_LM"'),
    "r": (_is_natural, f"a whole number from 1 to {MAX_RANK}"),
    "lora_alpha": (_is_positive, "a positive number"),
    "lora_dropout": (_is_dropout, "a number from 0 to 1"),
    "bias": (lambda v: v in (None, "none"), '"none"'),
    "use_rslora": (lambda v: v is None or isinstance(v, bool), "true or false"),
    "target_modules": (_is_targets, "a list of module names, or a simple pattern"),
    "exclude_modules": (_is_exclusion, "a list of module names, a simple pattern, or null"),
    "rank_pattern": (_pattern_of(_is_natural), "simple patterns with ranks"),
    "alpha_pattern": (_pattern_of(_is_positive), "simple patterns with positive numbers"),
    "init_lora_weights": (
        lambda v: not isinstance(v, str) or not _BASE_CHANGING.fullmatch(v.lower()),
        "a start that leaves the base's weights alone (convert it with PEFT's save_pretrained)",
    ),
}


def _words(value: Any) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else tuple(value)


def _named(words: str | tuple[str, ...], module: str) -> bool:
    if isinstance(words, str):
        return words == "all-linear" or re.fullmatch(words, module) is not None
    return any(module == word or module.endswith(f".{word}") for word in words)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
