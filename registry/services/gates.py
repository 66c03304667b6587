"""Rules that an evaluation must pass before a promotion, answered rule by rule.

A rule is ``{metric, op, value | relative_to: "production" | "base", min_delta?}``. The left side is what the
new version measured; the right side a number, or what production or the bare base measured on the same rows.
`min_delta` asks the new version to be better than the right side by at least so much.

Loss and perplexity count by tokens, so they say nothing across tokenizers: where production was measured with
another one, bits per byte are compared instead.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from registry.errors import Invalid, fault

METRICS = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
CHECK = re.compile(r"checks\.[a-z0-9][a-z0-9_-]{0,62}")  # the share of rows that pass a check of the suite
BY_TOKENS = ("loss", "perplexity", "token_accuracy")
ACROSS_TOKENIZERS = "bits_per_byte"
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
RELATIVES = ("production", "base")

Measured = Mapping[str, float | None]
Rule = Mapping[str, Any]


def validate(rules: Sequence[Any], *, param: str = "gate") -> list[dict[str, Any]]:
    """The rules as they are kept; raises Invalid with every fault."""
    errors = [fault for i, rule in enumerate(rules) for fault in faults(rule, f"{param}[{i}]")]
    if errors:
        raise Invalid(f"{errors[0]['param']}: {errors[0]['message']}", param=errors[0]["param"], errors=errors)
    return [dict(rule) for rule in rules]


def faults(rule: Any, at: str) -> list[dict[str, Any]]:
    """What is wrong with one rule, which stands at `at`."""
    if not isinstance(rule, Mapping):
        return [_fault(at, "A rule is an object such as {metric, op, relative_to}.")]
    found = []
    if not _is_metric(rule.get("metric")):
        found.append(_fault(f"{at}.metric", f"metric is one of {', '.join(METRICS)}, or checks.<name>."))
    if not _is_one_of(rule.get("op"), OPERATORS):
        found.append(_fault(f"{at}.op", f"op is one of {', '.join(OPERATORS)}."))
    if ("value" in rule) == ("relative_to" in rule):
        found.append(_fault(at, "Give value or relative_to, one of them."))
    if "value" in rule and not _is_number(rule["value"]):
        found.append(_fault(f"{at}.value", "value is a number."))
    if "relative_to" in rule and not _is_one_of(rule["relative_to"], RELATIVES):
        found.append(_fault(f"{at}.relative_to", f"relative_to is one of {', '.join(RELATIVES)}."))
    if not _is_number(rule.get("min_delta", 0)) or rule.get("min_delta", 0) < 0:
        found.append(_fault(f"{at}.min_delta", "min_delta is a number from 0 up."))
    unknown = set(rule) - {"metric", "op", "value", "relative_to", "min_delta"}
    return found + [_fault(f"{at}.{name}", "There is no such field in a rule.") for name in sorted(unknown)]


def checks_named(rules: Sequence[Rule]) -> dict[str, str]:
    """The checks that valid rules speak of, and the param of the rule."""
    named = {f"gate[{i}].metric": str(rule["metric"]) for i, rule in enumerate(rules)}
    return {name.partition(".")[2]: at for at, name in named.items() if CHECK.fullmatch(name)}


def _is_metric(value: Any) -> bool:
    return isinstance(value, str) and (value in METRICS or CHECK.fullmatch(value) is not None)


def _is_one_of(value: Any, allowed: Collection[str]) -> bool:
    """A list or an object has no hash, so it can't be looked up."""
    return isinstance(value, str) and value in allowed


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _fault(param: str, message: str) -> dict[str, Any]:
    return fault(param, "invalid_rule", message)


def judge(
    rules: Sequence[Rule],
    *,
    measured: Measured,
    production: Measured | None,
    base: Measured | None,
    other_tokenizer: bool = False,
    unmeasured: str = "",
) -> dict[str, Any]:
    """``{"passed", "rules": [{..., "left", "right", "passed"}]}``.

    A rule relative to production passes where there is none yet: the first version has nothing to beat. Where
    another side was not measured, the rule can't be answered, so it fails; `unmeasured` says why production was
    not. `other_tokenizer`: production was measured with another one than the new version.
    """
    sides = {"production": production, "base": base}
    answered = []
    for rule in rules:
        against = rule.get("relative_to") == "production"
        if against and production is None and unmeasured:
            answered.append(_unanswered(rule, measured, unmeasured))
        elif against and production is not None and other_tokenizer and rule["metric"] in BY_TOKENS:
            answered.append(_across_tokenizers(rule, measured, sides))
        else:
            answered.append(_answer(rule, measured, sides))
    return {"passed": all(rule["passed"] for rule in answered), "rules": answered}


def _across_tokenizers(rule: Rule, measured: Measured, sides: Mapping[str, Measured | None]) -> dict[str, Any]:
    """By bits per byte where that means the same; a margin, or an accuracy, counted in tokens has no such twin."""
    if rule["metric"] == "token_accuracy" or rule.get("min_delta"):
        what = "min_delta of a loss" if rule.get("min_delta") else "token_accuracy"
        why = f"production has another tokenizer, and {what} counts by tokens: ask for {ACROSS_TOKENIZERS}"
        return _unanswered(rule, measured, why)
    return {**_answer({**rule, "metric": ACROSS_TOKENIZERS}, measured, sides), "asked": rule["metric"]}


def _unanswered(rule: Rule, measured: Measured, why: str) -> dict[str, Any]:
    return {**rule, "left": measured.get(rule["metric"]), "right": None, "passed": False, "reason": why}


def _answer(rule: Rule, measured: Measured, others: Mapping[str, Measured | None]) -> dict[str, Any]:
    left = measured.get(rule["metric"])
    relative = rule.get("relative_to")
    if relative is not None and others[relative] is None:
        return {**rule, "left": left, "right": None, "passed": relative == "production" and left is not None}
    other = others[relative] if relative is not None else None
    right = rule["value"] if other is None else other.get(rule["metric"])
    passed = left is not None and right is not None and _holds(rule, left, right)
    return {**rule, "left": left, "right": right, "passed": passed}


def _holds(rule: Rule, left: float, right: float) -> bool:
    delta = float(rule.get("min_delta", 0))
    bound = right - delta if rule["op"] in ("<", "<=") else right + delta
    return OPERATORS[rule["op"]](left, bound)


def why(verdict: Mapping[str, Any]) -> str:
    """The rules that did not hold, in words."""
    return "; ".join(_words(rule) for rule in verdict["rules"] if not rule["passed"])


def _words(rule: Mapping[str, Any]) -> str:
    if rule.get("reason"):
        return f"{rule['metric']} against {rule['relative_to']}: {rule['reason']}"
    against = rule.get("relative_to", "the limit")
    delta = f" by at least {rule['min_delta']}" if rule.get("min_delta") else ""
    right = "not measured" if rule["right"] is None else f"{rule['right']:.4f}"
    left = "not measured" if rule["left"] is None else f"{rule['left']:.4f}"
    return f"{rule['metric']} {left} is not {rule['op']} {against} ({right}){delta}"
