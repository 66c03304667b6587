"""Signed heads of the record in the store, where whoever rewrites the database does not reach them.

The address says position and hash, so that a listing is enough to compare them with the chain.
"""

from __future__ import annotations

import re

from registry.models import AuditHead
from registry.storage import store

FOLDER = "audit/heads"
KEY = re.compile(rf"{FOLDER}/(\d{{19}})-([0-9a-f]{{64}})\.json")


def key_of(head: AuditHead) -> str:
    return f"{FOLDER}/{head.position:019d}-{head.hash}.json"


def anchored() -> dict[int, set[str]]:
    """What was anchored at each position: one hash, unless somebody signed two histories."""
    found: dict[int, set[str]] = {}
    for entry in store().entries(FOLDER):
        if named := KEY.fullmatch(entry.key):
            found.setdefault(int(named[1]), set()).add(named[2])
    return found
