"""What the engine counts, as Prometheus text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Metrics:
    """Counters since the process began. Each is written by one thread; readers may see them a step late."""

    finished: Counter[str] = field(default_factory=Counter)  # by reason
    refused: Counter[int] = field(default_factory=Counter)  # by HTTP status
    prompt_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    loads: int = 0
    load_seconds: float = 0.0
    first_tokens: int = 0
    first_token_seconds: float = 0.0


def render(metrics: Metrics, gauges: dict[str, float]) -> str:
    """The counters and the given gauges in Prometheus' text format."""
    lines: list[str] = []
    for name, value in gauges.items():
        lines += [f"# TYPE plethora_engine_{name} gauge", f"plethora_engine_{name} {value:g}"]
    for name, label, counter in (
        ("requests_total", "finish", metrics.finished),
        ("refused_total", "status", metrics.refused),
    ):
        lines.append(f"# TYPE plethora_engine_{name} counter")
        lines += [f'plethora_engine_{name}{{{label}="{key}"}} {count}' for key, count in sorted(counter.items())]
    for name in (
        "prompt_tokens",
        "generated_tokens",
        "steps",
        "loads",
        "load_seconds",
        "first_tokens",
        "first_token_seconds",
    ):
        value = getattr(metrics, name)
        lines += [f"# TYPE plethora_engine_{name}_total counter", f"plethora_engine_{name}_total {value}"]
    return "\n".join(lines) + "\n"
