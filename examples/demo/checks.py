"""A step's own check: it holds, or the demo ends with what was expected and what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class CheckFailed(Exception):
    """What was expected, and what was seen."""


def check(held: bool, expected: str, seen: Any) -> None:
    if not held:
        raise CheckFailed(f"expected: {expected}\n    seen: {seen}")


def until(ask: Callable[[], Any], *, expected: str, seconds: float = 60.0, every: float = 0.3) -> Any:
    """Ask until the answer is true, and return it. Raises CheckFailed after so many seconds."""
    end = time.monotonic() + seconds
    while not (seen := ask()):
        if time.monotonic() > end:
            raise CheckFailed(f"expected: {expected} within {seconds:g} s\n    seen: {seen}")
        time.sleep(every)
    return seen
