"""The preset that each vertical begins from; one table for the API, the command line and the pages.

The other presets say how much a run may take (`quick`, `thorough`, `qlora`). These go by what a vertical's texts
are like: how long, how regular, how many, and how dear a wrong word is. They are places to begin, not results: an
evaluation says which recipe is better on a team's own rows. Ranks stay at 16 or below, which is what vLLM loads
unless it is told otherwise.
"""

from __future__ import annotations

from typing import Any

# What differs from the defaults of a recipe, and why.
PRESETS: dict[str, dict[str, Any]] = {
    # Few rows, written by experts: more passes, stopped where the validation loss no longer falls.
    "healthcare": {"epochs": 4.0, "schedule": "cosine", "early_stopping_patience": 3},
    # Terse texts full of numbers and of one form: dropout against learning them by heart.
    "finance": {"dropout": 0.05, "epochs": 4.0, "early_stopping_patience": 3},
    # Long texts: as many rows a step, in a quarter of the memory.
    "legal": {"batch_size": 2, "accumulation": 4, "gradient_checkpointing": True},
    # Reports that are filled in: half the rank, so half the file.
    "manufacturing": {"rank": 8},
    # A tone of voice in many short texts: attention alone carries it, soon.
    "retail": {"rank": 8, "targets": "attention", "epochs": 2.0},
}


def preset_of(vertical: str) -> str:
    """The name of the preset for a vertical; `default` for one that a team has made up."""
    return vertical if vertical in PRESETS else "default"
