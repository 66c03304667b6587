"""Signed heads go into the store: what was said there can't be taken back, also not with all our keys."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from registry.models import AuditHead
from registry.selectors.anchors import key_of
from registry.services import audit
from registry.storage import store


def anchor() -> int:
    """Sign how far the record goes, and store every head that is not there yet; returns how many were stored."""
    audit.sign_head()
    missing = []
    for head in AuditHead.objects.order_by("-position", "-pk").iterator():
        if store().size(key_of(head)) is not None:
            break  # heads are stored in their order, so that the earlier ones are there
        missing.append(head)
    for head in reversed(missing):
        _store(head)
    return len(missing)


def _store(head: AuditHead) -> None:
    content = audit.canonical(audit.words_of(head))
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "head.json"
        draft.write_bytes(content)
        store().put(key_of(head), draft, sha256=hashlib.sha256(content).hexdigest())
