"""Which events prove a row of a table: what assigned, what moved the alias, what made the version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from registry.models import AliasHistory, AuditEvent, Receipt

SET = "assignment.set"
MOVED = ("alias.create", "alias.move")
MADE = ("adapter_version.create", "adapter_version.ready")
ENDED = (SET, "assignment.end")


def of(rows: Sequence[Any]) -> list[list[int]]:
    """The positions of the sealed events that each row, a `Receipt` or a stretch of `timeline`, rests on."""
    wanted = [set(_wanted(row)) for row in _with_histories(rows)]
    found = _positions({key for keys in wanted for key in keys})
    return [sorted({seq for key in keys for seq in found.get(key, ())}) for keys in wanted]


Key = tuple[str, tuple[str, ...], Any]  # an object, acts on it, and which of those


def _wanted(row: Any) -> Iterable[Key]:
    assignment = row.assignment if isinstance(row, Receipt) else row
    if isinstance(row, Receipt):
        if row.version is not None:
            yield (f"adapter:{row.version.address}", MADE, None)
    else:
        yield (f"adapter:{row.adapter.address}@{row.number}", MADE, None)
    if assignment is None:
        return
    slot = f"slot:{assignment.slot.client.address}/{assignment.slot.name}"
    yield (slot, (SET,), assignment.pk)
    alias = f"alias:{assignment.adapter.address}@{assignment.alias.name}" if assignment.alias else ""
    if alias and row.move_from is not None:
        yield (alias, MOVED, row.move_from)
    if not isinstance(row, Receipt) and row.until is not None:
        yield (slot, ENDED, row.until)
        if alias:
            yield (alias, MOVED, row.until)


def _with_histories(rows: Sequence[Any]) -> Sequence[Any]:
    """Receipts, each with the moment at which the alias of its assignment had been moved to what it was then."""
    receipts: list[Any] = [row for row in rows if isinstance(row, Receipt)]
    followed = {row.assignment.alias_id for row in receipts if row.assignment and row.assignment.alias_id}
    histories: dict[int, list[AliasHistory]] = defaultdict(list)
    for history in AliasHistory.objects.filter(alias__in=followed).order_by("valid_from"):
        histories[history.alias_id].append(history)
    for row in receipts:
        own = histories.get(row.assignment.alias_id or 0, []) if row.assignment else []
        row.move_from = max((h.valid_from for h in own if h.valid_from <= row.admitted_at), default=None)
    return rows


def _positions(keys: set[Key]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = defaultdict(list)
    acts = (*ENDED, *MOVED, *MADE)
    objects = sorted({obj for obj, _, _ in keys})
    events = AuditEvent.objects.filter(object__in=objects, action__in=acts, seal__isnull=False)
    for event in events.select_related("seal"):
        for which in {None, event.at, *_about(event.after or {})}:
            for kinds in (MADE, MOVED, ENDED, (SET,)):
                key = (event.object, kinds, which)
                if event.action in kinds and key in keys:
                    found[key].append(event.seal.position)
    return found


def _about(after: dict[str, Any]) -> Iterable[Any]:
    """Which assignment it made, and when that began: a planned one was recorded before."""
    yield after.get("assignment")
    if isinstance(began := after.get("from"), str):
        yield datetime.fromisoformat(began)
