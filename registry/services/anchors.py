"""Signed heads and checkpoints go into the store: not with all our keys can what was said there be taken back."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from registry.models import AuditCheckpoint, AuditHead
from registry.selectors.anchors import key_of
from registry.services import audit
from registry.storage import store


def anchor() -> int:
    """Sign how far the record goes, and store every head that is not there yet; returns how many were stored."""
    audit.sign_head()
    return _store_missing(AuditHead.objects.order_by("-position", "-pk").iterator())


def anchor_checkpoints() -> int:
    """The same for what is said to be gone, before it goes."""
    return _store_missing(AuditCheckpoint.objects.order_by("-position").iterator())


def _store_missing(newest_first: Iterator[AuditHead] | Iterator[AuditCheckpoint]) -> int:
    missing: list[AuditHead | AuditCheckpoint] = []
    for row in newest_first:
        if store().size(key_of(row)) is not None:
            break  # they are stored in their order, so that the earlier ones are there
        missing.append(row)
    for row in reversed(missing):
        _store(row)
    return len(missing)


def _store(row: AuditHead | AuditCheckpoint) -> None:
    content = audit.canonical(audit.words_of(row))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "statement.json"
        draft.write_bytes(content)
        store().put(key_of(row), draft, sha256=hashlib.sha256(content).hexdigest())
