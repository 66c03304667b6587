"""Is what the engine serves under a name really that version? Asked after each load.

A version carries a prompt and the log-probabilities that followed it right after training, with the adapter and
without, and by which arithmetic they were computed. The engine has to say the same, as far as its own arithmetic
allows. The commonest fault of all is a silent no-op: the name is known, the base answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DISTINCT = 1e-4  # a smaller difference from the base can't be told from rounding
EXACT = 0.01  # float32 on both sides
ROUNDED = 0.5  # 16 bits on either side, or nobody knows
QUANTIZED = 1.5  # trained on a base of 4 bits, served on the whole one
NOISES = 2.0  # an effect of fewer noises than that can't be told from none


def tolerance(stored: Mapping[str, Any], engine: str) -> float:
    """How far an engine that computes in `engine` (a dtype; empty: unknown) may be from what training stored."""
    if stored.get("method") == "qlora":
        return QUANTIZED
    return EXACT if stored.get("dtype") == engine == "float32" else ROUNDED


def difference(told: Mapping[int, float], stored: Mapping[str, Any]) -> float:
    """The largest distance to `{"ids": [...], "values": [...]}`."""
    return max(_distances(told, stored), default=0.0)


def fault(
    stored: Mapping[str, Any], adapter: Mapping[int, float], base: Mapping[int, float], allowed: float
) -> str:
    """What is wrong with the engine's answers for the stored prompt, in words; empty if they hold.

    `stored`: `AdapterVersion.probe`; `adapter`, `base`: the engine's log-probabilities by token id.
    """
    expected = stored["logprobs"]
    effect = difference(
        dict(zip(expected["adapter"]["ids"], expected["adapter"]["values"], strict=True)), expected["base"]
    )
    noise = difference(base, expected["base"])  # how far this engine's arithmetic is from training's
    if effect > max(DISTINCT, NOISES * noise) and _mean(adapter, expected["base"]) < _mean(
        adapter, expected["adapter"]
    ):
        return "the engine answers as the bare base does, or nearly: the adapter has no effect"
    apart = difference(adapter, expected["adapter"])
    if not apart <= allowed:
        return f"its log-probabilities are {apart:.3g} away from those after training (allowed: {allowed:g})"
    return ""


def _distances(told: Mapping[int, float], stored: Mapping[str, Any]) -> list[float]:
    """One for each stored token. One that isn't told is no likelier than the least likely that is: it is so far
    away at least; without as many tokens as are stored, it is infinitely far."""
    least = min(told.values()) if len(told) >= len(stored["ids"]) else float("-inf")
    pairs = zip(stored["ids"], stored["values"], strict=True)
    return [abs(told[token] - value) if token in told else max(0.0, value - least) for token, value in pairs]


def _mean(told: Mapping[int, float], stored: Mapping[str, Any]) -> float:
    distances = _distances(told, stored)
    return sum(distances) / max(1, len(distances))
