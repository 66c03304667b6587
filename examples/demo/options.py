"""What the demo is asked to do."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[1]
ROOT = EXAMPLES.parent
VERTICALS = ("healthcare", "finance", "legal", "manufacturing", "retail")
LONG = ("finance", "legal")  # their rows are long: a shorter window keeps real input within its time


@dataclass(frozen=True)
class Options:
    data: Path
    base: Path
    base_update: Path
    home: Path
    stack: bool
    leave: bool  # stop everything at the end
    quick: bool
    bundled: bool
    stop: bool  # only end what runs
    port: int
    serving_port: int
    patience: float  # seconds for which a client asks again after a refused connection or a 503

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def serving_url(self) -> str:
        return f"http://127.0.0.1:{self.serving_port}"

    def recipe(self, vertical: str) -> dict[str, Any]:
        """Hyper-parameters of one vertical's adapter."""
        common = {
            "rank": 8,
            "alpha": 16,
            "targets": "all-linear",
            "learning_rate": 3e-3,
            "schedule": "linear",
            "warmup_steps": 10,
            "clip_norm": 1.0,
            "batch_size": 8,
            "dtype": "float32",
            "loss_on": "completion",
        }
        if self.bundled:
            # What examples/README.md was measured with: so small a base wants a high rate.
            steps = 40 if self.quick else 100
            return {**common, "steps": steps, "learning_rate": 1e-2, "max_length": 192}
        return {**common, "steps": 40 if self.quick else 150, "max_length": 256 if vertical in LONG else 512}

    @property
    def least_gain(self) -> float:
        """By which share training must lower the test loss."""
        return 0.1 if self.quick else 0.3


def parse(words: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="The whole story, measured.")
    parser.add_argument("--exit", action="store_true", help="stop everything at the end")
    parser.add_argument("--stop", action="store_true", help="only end what an earlier demo left running")
    parser.add_argument("--stack", action="store_true", help="on PostgreSQL, Redis and S3 from wheels")
    parser.add_argument("--quick", action="store_true", help="few training steps")
    parser.add_argument("--data", type=_folder, help="a folder with <vertical>/train.jsonl")
    parser.add_argument("--base", type=_folder, help="a folder with a causal LM")
    parser.add_argument("--base-update", type=_folder, help="its next version")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "demo", help="where its state lives")
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds that clients wait out a killed engine"
    )
    told = parser.parse_args(words)
    given = [told.data, told.base, told.base_update]
    if any(given) and not all(given):
        parser.error("--data, --base and --base-update belong together")
    return Options(
        data=told.data or EXAMPLES / "datasets",
        base=told.base or EXAMPLES / "base" / "v1",
        base_update=told.base_update or EXAMPLES / "base" / "v2",
        home=told.home.resolve(),
        stack=told.stack,
        leave=told.exit,
        quick=told.quick,
        bundled=not any(given),
        stop=told.stop,
        port=int(os.environ.get("PLETHORA_PORT") or 8000),
        serving_port=int(os.environ.get("PLETHORA_SERVING_PORT") or 8001),
        patience=told.patience,
    )


def _folder(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text}")
    return path
