"""The design tokens: every pair of text and ground can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[3] / "static" / "css" / "tokens.css").read_text()
STATES = ("fresh", "stale", "training", "queued", "failed", "archived")
PAIRS = [
    *((state, f"{state}-bg") for state in STATES),
    *((ink, ground) for ink in ("text", "muted", "accent") for ground in ("panel", "surface")),
    ("accent-text", "accent"),
    ("accent", "accent-soft"),
]
LEAST = 5.5


def _blocks() -> list[dict[str, str]]:
    """Light, dark by choice, dark by the system."""
    found = re.findall(r"\{([^{}]*color-scheme[^{}]*)\}", CSS)
    return [dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", block)) for block in found]


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_it_has_contrast(theme: int, ink: str, ground: str) -> None:
    colours = _blocks()[theme]
    assert _contrast(colours[ink], colours[ground]) >= LEAST


def test_it_is_one_dark_theme_by_choice_and_by_the_system() -> None:
    _, chosen, system = _blocks()
    assert chosen == system
