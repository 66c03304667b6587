"""Curves and histograms as SVG drawn by the server, in the page's own colours.

Geometry only: the template `partials/_curve.html` writes the elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10

Point = tuple[float, float]
MOST_POINTS = 300
WIDTH, HEIGHT = 640.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 24.0, 12.0, 28.0


@dataclass
class Tick:
    at: float
    label: str


@dataclass
class Curve:
    """Paths in pixels of a WIDTH x HEIGHT box."""

    raw: str = ""
    smooth: str = ""
    validation: list[Point] = field(default_factory=list)
    other: str = ""
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)
    summary: str = ""


def curve(train: Sequence[Point], validation: Sequence[Point], *, steps: int) -> Curve | None:
    """`(step, loss)` points against steps 0..`steps`; None while there is nothing to draw."""
    points = [*train, *validation]
    if not points:
        return None
    frame = _Frame(points, steps)
    thin = _thin(train)
    return Curve(
        raw=frame.path(thin),
        smooth=frame.path(_smoothed(thin)),
        validation=[frame.place(p) for p in _thin(validation)],
        x_ticks=frame.x_ticks,
        y_ticks=frame.y_ticks,
        summary=f"Loss from {points[0][1]:.3f} to {(train or validation)[-1][1]:.3f} over {frame.steps} steps.",
    )


def overlay(left: Sequence[Point], right: Sequence[Point]) -> Curve | None:
    """Two runs in one frame, smoothed: `smooth` is the left one, `other` the right one."""
    if not left or not right:
        return None
    frame = _Frame([*left, *right], 1)
    return Curve(
        smooth=frame.path(_smoothed(_thin(left))),
        other=frame.path(_smoothed(_thin(right))),
        x_ticks=frame.x_ticks,
        y_ticks=frame.y_ticks,
        summary=f"Loss ends at {left[-1][1]:.3f} on the left and at {right[-1][1]:.3f} on the right.",
    )


class _Frame:
    """Where points lie in the box, between round numbers."""

    def __init__(self, points: Sequence[Point], steps: int) -> None:
        low, top = min(y for _, y in points), max(y for _, y in points)
        heights = _ticks(low, top)
        self.low, self.high = min(low, heights[0]), max(top, heights[-1])
        self.steps = max(steps, *(int(x) for x, _ in points), 1)
        self.x_ticks = [Tick(self.place((x, low))[0], f"{x:g}") for x in _x_ticks(self.steps)]
        self.y_ticks = [Tick(self.place((0, y))[1], f"{y:g}") for y in heights]

    def place(self, point: Point) -> Point:
        x = LEFT + (WIDTH - LEFT - RIGHT) * point[0] / self.steps
        y = TOP + (HEIGHT - TOP - BOTTOM) * (self.high - point[1]) / ((self.high - self.low) or 1)
        return round(x, 1), round(y, 1)

    def path(self, points: Iterable[Point]) -> str:
        return _path(self.place(point) for point in points)


def sparkline(values: Sequence[float], *, width: float = 90, height: float = 22) -> str:
    """A path of `values` in a small box."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1
    step = (width - 4) / (len(values) - 1)
    return _path(
        (round(2 + i * step, 1), round(2 + (height - 4) * (high - v) / span, 1)) for i, v in enumerate(values)
    )


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str
    bound: int
    count: int

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def bars(counts: Sequence[tuple[int, int]]) -> list[Bar]:
    """A histogram in a 320 x 130 box, for a narrow panel; each pair is (upper bound, count).

    Where they would run into each other only every second bar, or fourth, says its bound.
    """
    if not counts:
        return []
    most = max(count for _, count in counts) or 1
    width, each = 310 / len(counts), ceil(len(counts) / 8)
    found = []
    for i, (bound, count) in enumerate(counts):
        height, label = round(96 * count / most, 1), "" if i % each else f"{bound}"
        found.append(Bar(round(5 + i * width, 1), 106 - height, round(width - 3, 1), height, label, bound, count))
    return found


def _thin(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_POINTS`, evenly, the last one kept."""
    if len(points) <= MOST_POINTS:
        return list(points)
    stride = ceil(len(points) / MOST_POINTS)
    return [*points[::stride], points[-1]]


def _smoothed(points: Sequence[Point], weight: float = 0.85) -> list[Point]:
    """An exponential mean, without the bias of its start."""
    mean, total, out = 0.0, 0.0, []
    for x, y in points:
        mean, total = weight * mean + (1 - weight) * y, weight * total + (1 - weight)
        out.append((x, mean / total))
    return out


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover low..high."""
    if high <= low:
        high = low + 1
    raw = (high - low) / count
    size = 10.0 ** floor(log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw)
    first, last = floor(low / step), ceil(high / step)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _x_ticks(last: int) -> list[float]:
    """Round numbers from 0, and the last step; what would run into that is left out."""
    inner = [x for x in _ticks(0, last) if x < last * 0.88]
    return [*inner, float(last)]


def _path(points: Iterable[Point]) -> str:
    return " ".join(f"{'L' if i else 'M'}{x} {y}" for i, (x, y) in enumerate(points))
