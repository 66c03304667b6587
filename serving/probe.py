"""Is what the engine serves under a name really that version? Asked after each load.

A version carries a prompt and the log-probabilities that followed it right after training, with the adapter and
without. The engine has to say the same. The commonest fault of all is a silent no-op: the name is known, the base
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DISTINCT = 1e-4  # a smaller difference from the base can't be told from rounding


def difference(told: Mapping[int, float], stored: Mapping[str, Any]) -> float:
    """The largest distance to `{"ids": [...], "values": [...]}`; infinite where a token isn't told of."""
    pairs = zip(stored["ids"], stored["values"], strict=True)
    return max((abs(told.get(token, float("-inf")) - value) for token, value in pairs), default=0.0)


def fault(
    stored: Mapping[str, Any], adapter: Mapping[int, float], base: Mapping[int, float], tolerance: float
) -> str:
    """What is wrong with the engine's answers for the stored prompt, in words; empty if they hold.

    `stored`: `AdapterVersion.probe`; `adapter`, `base`: the engine's log-probabilities by token id.
    """
    expected = stored["logprobs"]
    apart = difference(adapter, expected["adapter"])
    matters = _distance(expected["adapter"], expected["base"]) > DISTINCT
    if matters and adapter == base:
        return "the engine answers as the bare base does: the adapter has no effect"
    if not apart <= tolerance:
        return f"its log-probabilities are {apart:.3g} away from those after training (allowed: {tolerance:g})"
    return ""


def _distance(left: Mapping[str, Any], right: Mapping[str, Any]) -> float:
    return difference(dict(zip(left["ids"], left["values"], strict=True)), right)
