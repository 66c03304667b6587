"""Checks: what a model's answers must be, the recipe of an evaluation suite.

A check is ``{name, kind, value?, ignore_case?}``:

    exact       the answer is the row's own (or `value`), but for white space around it
    contains    the row's answer (or `value`) stands in it
    regex       the pattern `value` is found in it
    valid_json  it is JSON

Patterns are a stranger's, and matching one may take for ever: its syntax is looked at here, and the matcher gives
up after PATTERN_SECONDS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import regex

from registry.recipes.rules import RecipeError

KINDS = ("exact", "contains", "regex", "valid_json")
MOST_CHECKS = 20
LONGEST_VALUE = 2000
LONGEST_PATTERN = 500
PATTERN_SECONDS = 1.0
MOST_ROWS, ROWS = 1000, 100
MOST_TOKENS, TOKENS = 1024, 128
NAME = regex.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class SlowPattern(Exception):
    """Matching took longer than a pattern may."""


@dataclass(frozen=True)
class Check:
    name: str
    kind: str
    value: str | None = None
    ignore_case: bool = False

    def passes(self, answer: str, reference: str) -> bool:
        """Whether the answer is right. Raises SlowPattern."""
        if self.kind == "valid_json":
            return _is_json(answer)
        if self.kind == "regex":
            return _found(self.value or "", answer, ignore_case=self.ignore_case)
        said, wanted = answer.strip(), (reference if self.value is None else self.value).strip()
        if self.ignore_case:
            said, wanted = said.casefold(), wanted.casefold()
        return said == wanted if self.kind == "exact" else wanted in said


@dataclass(frozen=True)
class Suite:
    """The checks, and how much may be generated for them: rows of the split, tokens of each answer."""

    checks: tuple[Check, ...]
    max_rows: int = ROWS
    max_tokens: int = TOKENS

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Suite:
        return cls(tuple(Check(**one) for one in values["checks"]), values["max_rows"], values["max_tokens"])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def suite(checks: Any, *, max_rows: int = ROWS, max_tokens: int = TOKENS) -> Suite | None:
    """The suite of these checks, None where there are none; raises RecipeError with every fault."""
    found = faults(checks)
    if found:
        raise RecipeError(found)
    return Suite(tuple(Check(**one) for one in checks), max_rows, max_tokens) if checks else None


def faults(checks: Any) -> list[dict[str, str]]:
    """What is wrong with a list of checks, each fault as ``{"param", "code", "message"}``."""
    if not isinstance(checks, list) or len(checks) > MOST_CHECKS:
        return [_fault("checks", f"checks is a list of at most {MOST_CHECKS}.")]
    found = [fault for i, one in enumerate(checks) for fault in _faults(one, f"checks[{i}]")]
    names = [one.get("name") for one in checks if isinstance(one, Mapping)]
    twice = [i for i, name in enumerate(names) if name in names[:i]]
    return found + [_fault(f"checks[{i}].name", "A name is used once.") for i in twice]


def _faults(check: Any, at: str) -> list[dict[str, str]]:
    if not isinstance(check, Mapping):
        return [_fault(at, "A check is an object such as {name, kind}.")]
    found = []
    if not isinstance(check.get("name"), str) or NAME.fullmatch(check["name"]) is None:
        found.append(_fault(f"{at}.name", "name is of a-z, 0-9, - and _, at most 63 of them."))
    if not isinstance(check.get("kind"), str) or check["kind"] not in KINDS:
        found.append(_fault(f"{at}.kind", f"kind is one of {', '.join(KINDS)}."))
    elif wrong := _value_fault(check["kind"], check.get("value")):
        found.append(_fault(f"{at}.value", wrong))
    if not isinstance(check.get("ignore_case", False), bool):
        found.append(_fault(f"{at}.ignore_case", "ignore_case is true or false."))
    unknown = set(check) - {"name", "kind", "value", "ignore_case"}
    return found + [_fault(f"{at}.{name}", "There is no such field in a check.") for name in sorted(unknown)]


def _value_fault(kind: str, value: Any) -> str | None:
    if kind == "valid_json":
        return None if value is None else "valid_json takes no value."
    if value is None:
        return "A regex needs its pattern as value." if kind == "regex" else None
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_VALUE:
        return f"value is a text of at most {LONGEST_VALUE} characters."
    return _pattern_fault(value) if kind == "regex" else None


def _pattern_fault(pattern: str) -> str | None:
    if len(pattern) > LONGEST_PATTERN:
        return f"A pattern has at most {LONGEST_PATTERN} characters."
    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, ValueError, MemoryError) as error:
        return f"This is no valid pattern: {str(error)[:200]}."
    return None


def _found(pattern: str, answer: str, *, ignore_case: bool) -> bool:
    flags = regex.IGNORECASE if ignore_case else 0
    try:
        return regex.search(pattern, answer, flags=flags, timeout=PATTERN_SECONDS) is not None
    except TimeoutError as error:
        raise SlowPattern(pattern) from error


def _is_json(answer: str) -> bool:
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return True


def _fault(param: str, message: str) -> dict[str, str]:
    return {"param": param, "code": "invalid_check", "message": message}
