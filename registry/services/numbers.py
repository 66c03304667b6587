"""Version numbers: from a counter on the parent that only ever goes up (invariant 1)."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from registry.models import Adapter, BaseModel, Dataset


def allot(parent: BaseModel | Dataset | Adapter) -> int:
    """The next number; call it in the transaction of the version that takes it."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a number is taken in the transaction of the version that bears it")
    rows = type(parent)._default_manager.filter(pk=parent.pk)
    rows.update(version_counter=F("version_counter") + 1)
    return int(rows.values_list("version_counter", flat=True).get())
