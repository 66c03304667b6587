"""Signed heads and checkpoints of the record in the store: whoever rewrites the database does not reach them.

The address says position and hash, so that a listing is enough to compare them with the chain.
"""

from __future__ import annotations

import re

from registry.models import AuditCheckpoint, AuditHead
from registry.storage import store

HEADS, CHECKPOINTS = "audit/heads", "audit/checkpoints"
NAME = re.compile(r"(\d{19})-([0-9a-f]{64})\.json")


def key_of(row: AuditHead | AuditCheckpoint) -> str:
    folder = HEADS if isinstance(row, AuditHead) else CHECKPOINTS
    return f"{folder}/{row.position:019d}-{row.hash}.json"


def anchored(folder: str = HEADS) -> dict[int, set[str]]:
    """What was anchored at each position: one hash, unless somebody signed two histories."""
    found: dict[int, set[str]] = {}
    for entry in store().entries(folder):
        if named := NAME.fullmatch(entry.key.removeprefix(f"{folder}/")):
            found.setdefault(int(named[1]), set()).add(named[2])
    return found
