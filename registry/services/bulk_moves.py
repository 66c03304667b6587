"""Many slots moved by one act: all or nothing, previewed by the same plan, undone by one call.

A slot whose engine lacks the version waits for it, as a rollback does (`AssignmentMove`). Every slot has its own
audit event, and the whole has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry.access import Act, Caller, require
from registry.choices import PromotionState
from registry.errors import Conflict, Invalid, fault
from registry.models import Assignment, AssignmentMove, BulkMove, BulkMoveItem, Slot, Team
from registry.services import assignments, audit, bulk_plans, outgoing
from registry.services.assignments import Target
from registry.services.bulk_plans import MOVES, REFUSED, WAITS, Filter, Running, Step, Wanted, Wants

NAMED = 200  # refusals that one answer names


def assign(
    *, by: Caller, team: Team, narrowed: Filter, target: Target, reason: str, dry_run: bool = False
) -> tuple[BulkMove | None, list[Step]]:
    """The same target for every slot that the filter names. Without a row where it is only a preview."""
    require(by, Act.ASSIGN, team)
    rows = bulk_plans.slots_of(team, narrowed, unassigned=True)
    wish = {"filter": _words(narrowed), "target": target.words}

    def wants(slots: list[Slot], _: Running) -> dict[int, Wanted]:
        checked = assignments.as_it_is(slots[0].client, target) if slots else target  # else all would be refused
        return {slot.pk: Wanted(checked) for slot in slots}

    return _carry_out(by, BulkMove(team=team, wish=wish, reason=reason), rows, wants, dry_run)


def restore(
    *, by: Caller, team: Team, narrowed: Filter, at: datetime, reason: str, dry_run: bool = False
) -> tuple[BulkMove | None, list[Step]]:
    """Every slot that is answered now back to what it had at a time, whatever moved since: slots or aliases."""
    require(by, Act.ASSIGN, team)
    if at > timezone.now():
        raise Invalid.at("at", "out_of_range", "at must lie in the past.")
    rows = bulk_plans.slots_of(team, narrowed, unassigned=False)
    wish = {"filter": _words(narrowed), "at": at.isoformat()}
    wants = bulk_plans.as_of(at)
    return _carry_out(by, BulkMove(team=team, wish=wish, reason=reason), rows, wants, dry_run)


def undo(*, by: Caller, bulk: BulkMove, reason: str, dry_run: bool = False) -> tuple[BulkMove | None, list[Step]]:
    """Every slot of it back to what it had; moves that still wait are withdrawn. What was moved on since stays."""
    require(by, Act.ASSIGN, bulk.team)
    if BulkMove.objects.filter(undoes=bulk).exists():
        raise Conflict(f"Bulk move {bulk.pk} was undone already.", code="undone", allowed=[])
    rows = Slot.objects.filter(bulk_items__bulk=bulk)
    made = BulkMove(
        team=bulk.team, wish={"undo": bulk.pk}, undoes=bulk, reason=reason or f"undo of bulk move {bulk.pk}"
    )
    return _carry_out(by, made, rows, bulk_plans.undone(bulk), dry_run)


def arrived(move: AssignmentMove, made: Assignment) -> None:
    """What a slot of a bulk move waited for has come: in the transaction of the switch, which is recorded."""
    BulkMoveItem.objects.filter(move=move).update(made=made)


def object_of(bulk: BulkMove) -> str:
    return f"bulk_move:{bulk.pk}"


def _carry_out(
    by: Caller, bulk: BulkMove, rows: QuerySet[Slot], wants: Wants, dry_run: bool
) -> tuple[BulkMove | None, list[Step]]:
    try:
        with transaction.atomic(), outgoing.together():
            steps = bulk_plans.plan(rows, wants)
            if dry_run:
                return None, steps
            _refuse(steps)
            withdrawn = _withdraw(by, bulk)
            if not withdrawn and not any(step.outcome in (MOVES, WAITS) for step in steps):
                raise Conflict("Nothing here would move.", code="nothing_to_move")
            return _apply(by, bulk, steps, withdrawn), steps
    except IntegrityError as error:
        raise Conflict("Some of these slots were moved at the same moment; try again.", code="moved") from error


def _refuse(steps: Sequence[Step]) -> None:
    """All or nothing."""
    refused = [step for step in steps if step.outcome == REFUSED]
    if refused:
        faults = [fault(_name(step), "refused", f"{_name(step)}: {step.why}.") for step in refused]
        text = f"{len(refused)} of {len(steps)} slots can't move, so none did; name the others as clients."
        raise Conflict(text, code="refused", errors=faults[:NAMED])


def _name(step: Step) -> str:
    return f"{step.slot.client.address}/{step.slot.name}"


def _withdraw(by: Caller, bulk: BulkMove) -> int:
    """What an undone one still waits for; returns how many."""
    if bulk.undoes is None:
        return 0
    waiting = bulk.undoes.items.select_related("slot__client__team", "move").filter(
        move__state=PromotionState.WAITING
    )
    ended = [
        assignments.finish_move(by, item.slot, item.move, PromotionState.CANCELLED, bulk.reason)
        for item in waiting
        if item.move is not None
    ]
    return sum(ended)


def _apply(by: Caller, bulk: BulkMove, steps: Sequence[Step], withdrawn: int) -> BulkMove:
    bulk.actor = by.on_behalf_of or by.name
    bulk.save(force_insert=True)
    reason, moment = bulk.reason or f"bulk move {bulk.pk}", timezone.now()
    BulkMoveItem.objects.bulk_create(
        _move(by, bulk, step, moment, reason) for step in steps if step.outcome in (MOVES, WAITS)
    )
    counted = {word: sum(step.outcome == word for step in steps) for word in (MOVES, WAITS)}
    after = {**bulk.wish, **counted, **({"withdrawn": withdrawn} if withdrawn else {})}
    action = "bulk_move.undo" if bulk.undoes else "bulk_move.create"
    audit.record(by, action, object_of(bulk), team=bulk.team, after=after, reason=bulk.reason)
    return bulk


def _move(by: Caller, bulk: BulkMove, step: Step, moment: datetime, reason: str) -> BulkMoveItem:
    item = BulkMoveItem(bulk=bulk, slot=step.slot, before=step.now)
    if step.target is None:
        assignments.close(by=by, slot=step.slot, reason=reason)
    elif step.outcome == WAITS:
        item.move = assignments.wait(by, step.slot, step.target, reason)
    else:
        item.made = _switch(by, step.slot, step.target, moment, reason)
    return item


def _switch(by: Caller, slot: Slot, target: Target, moment: datetime, reason: str) -> Assignment:
    assignments.withdraw_waiting(by, slot, "superseded by another assignment")
    return assignments.switch(by=by, slot=slot, target=target, moment=moment, reason=reason)


def _words(narrowed: Filter) -> dict[str, Any]:
    said = {
        "adapter": narrowed.adapter.address if narrowed.adapter else None,
        "vertical": narrowed.vertical,
        "label": [f"{key}:{value}" for key, value in narrowed.labels],
        "clients": None if narrowed.clients is None else [client.address for client in narrowed.clients],
        "slot": narrowed.slot,
    }
    return {name: value for name, value in said.items() if value}
