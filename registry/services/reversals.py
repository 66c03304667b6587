"""Taking an act back: a second, reverse act in the record, and never over what somebody did since.

1 the caller's own act, by its event 2 what it was about, locked 3 nothing moved that since 4 the reverse act. What
still waits for an engine is cancelled; where it moved meanwhile, that move is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from registry.access import Act, Caller
from registry.choices import PromotionState, VersionStatus
from registry.errors import Conflict, NotFound
from registry.models import (
    AdapterVersion,
    Alias,
    Assignment,
    AssignmentMove,
    AuditEvent,
    Promotion,
    Slot,
    Waiver,
)
from registry.selectors import addresses
from registry.selectors import reversals as selectors
from registry.services import aliases, assignments, promotions, version_states, waivers

REASON = "undone"


@dataclass(frozen=True)
class Undone:
    """The act that was taken back; `waits` where an engine must have the version before first."""

    event: AuditEvent
    waits: bool


def undo(*, by: Caller, event: int) -> Undone:
    """The reverse of the caller's own act `event`."""
    row = selectors.own(by, event)
    if not selectors.reversible(row):
        text = f"{row.action} of {row.object.partition(':')[2]} has no reverse act; change it on its page."
        raise Conflict(text, code="not_reversible")
    back = REVERSES[row.action](by, row)
    return Undone(row, isinstance(back, Promotion | AssignmentMove))


def _alias(by: Caller, event: AuditEvent) -> Alias | Promotion | None:
    """Back to the version before; an alias that the act had made goes."""
    address, _, name = event.object.partition(":")[2].partition("@")
    adapter = addresses.adapter(by, Act.PUBLISH, address)
    with transaction.atomic():
        _lock_alias(event, adapter.pk, name)
        moved = _moved(event, "promotion")
        if moved is None:
            row = Promotion.objects.select_related("alias__adapter__team", "version")
            promotions.cancel(by=by, promotion=row.get(pk=_after(event)["promotion"]), reason=REASON)
            return None
        if moved.before is None:
            aliases.delete(by=by, adapter=adapter, name=name, reason=REASON)
            return None
        version = addresses.version_of(adapter, moved.before["version"])
        return aliases.move(by=by, adapter=adapter, name=name, version=version, reason=REASON)


def _lock_alias(event: AuditEvent, adapter: int, name: str) -> None:
    if aliases.lock(Alias.objects.filter(adapter=adapter, name=name)) is None:
        selectors.check_last(event)
        raise NotFound(f"There is no alias '{name}' any more, so nothing is undone.")


def _slot(by: Caller, event: AuditEvent) -> Assignment | AssignmentMove | None:
    """What it had before again, or nothing."""
    address, _, name = event.object.partition(":")[2].rpartition("/")
    client = addresses.client(by, Act.ASSIGN, address)
    with transaction.atomic():
        slot = assignments.lock_slot(Slot.objects.get(client=client, name=name))
        made = _moved(event, "assignment_move")
        if made is None:
            move = AssignmentMove.objects.get(pk=_after(event)["move"])
            assignments.finish_move(by, slot, move, PromotionState.CANCELLED, REASON)
            return None
        before = made.before or {}
        return assignments.take_back(
            by=by,
            slot=slot,
            made=_after(made)["assignment"],
            previous=before.get("assignment"),
            until=parse_datetime(before.get("until") or ""),
            reason=REASON,
        )


def _moved(event: AuditEvent, wish: str) -> AuditEvent | None:
    """The act, or the move that came of it where it was a wish; None while it waits.

    Raises PreconditionFailed where anything else moved the same thing since.
    """
    later = selectors.since(event)
    if event.action != f"{wish}.create" or not later:
        selectors.check_last(event)
        return None if event.action == f"{wish}.create" else event
    if later[0].action != f"{wish}.done" or len(later) != 2:
        raise selectors.changed(event, later[-1])
    return later[1]


def _version(by: Caller, event: AuditEvent) -> AdapterVersion:
    """To the status before. A quarantined version's bytes are read whole: no lock is held meanwhile."""
    version = _version_of(by, event)
    selectors.check_last(event)
    return BACK[(event.before or {})["status"]](by=by, version=version, reason=REASON)


def _waiver(by: Caller, event: AuditEvent) -> Waiver:
    version = _version_of(by, event)
    selectors.check_last(event)
    newest = Waiver.objects.filter(version=version, actor=event.actor).order_by("-pk").first()
    if newest is None:
        raise NotFound(f"{version.address} has no waiver any more.")
    return waivers.end(by=by, waiver=newest, reason=REASON)


def _version_of(by: Caller, event: AuditEvent) -> AdapterVersion:
    return addresses.adapter_version(by, Act.PUBLISH, event.object.partition(":")[2])


def _after(event: AuditEvent) -> dict[str, Any]:
    return event.after or {}


BACK: dict[str, Callable[..., AdapterVersion]] = {
    VersionStatus.READY: version_states.restore,
    VersionStatus.ARCHIVED: version_states.archive,
    VersionStatus.QUARANTINED: version_states.quarantine,
}
REVERSES: dict[str, Callable[[Caller, AuditEvent], object]] = {
    "alias.create": _alias,
    "alias.move": _alias,
    "promotion.create": _alias,
    "assignment.set": _slot,
    "assignment_move.create": _slot,
    "adapter_version.archive": _version,
    "adapter_version.quarantine": _version,
    "adapter_version.restore": _version,
    "staleness.waive": _waiver,
}
