"""Wanted moves of a slot that wait for an engine; the feeder calls `advance` each second."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import PromotionState
from registry.errors import RegistryError
from registry.models import AssignmentMove
from registry.selectors import engines
from registry.services import assignments, bulk_moves
from registry.services.assignments import TARGET, Target, target_of

log = logging.getLogger(__name__)


def advance() -> int:
    """Carry out every waiting move whose target engines have by now; returns how many moved."""
    waiting = AssignmentMove.objects.filter(state=PromotionState.WAITING).select_related(
        "slot__client__team", *TARGET
    )
    moved = 0
    for move in waiting:
        try:
            moved += _advance(move)
        except IntegrityError:  # the others go on, and the next round sees what changed
            log.exception("move %s of %s", move.pk, assignments.object_of(move.slot))
    return moved


def _advance(move: AssignmentMove) -> bool:
    """1 locks 2 does it make sense still 3 have engines the target, or refuse it 4 claim and switch."""
    by = SYSTEM.behalf(move.asked_by)
    with transaction.atomic():
        slot = assignments.lock_slot(move.slot)
        try:
            target = assignments.as_it_is(slot.client, target_of(move))
        except RegistryError as error:
            assignments.finish_move(by, slot, move, PromotionState.FAILED, error.message)
            return False
        if problem := _problem(target):
            assignments.finish_move(by, slot, move, PromotionState.FAILED, problem)
            return False
        if not assignments.answered(target):
            return False
        if not assignments.finish_move(by, slot, move, PromotionState.DONE, "moved"):
            return False
        made = assignments.switch(by=by, slot=slot, target=target, moment=timezone.now(), reason=move.reason)
        bulk_moves.arrived(move, made)
        return True


def _problem(target: Target) -> str | None:
    """Why an engine refuses a version of the target."""
    found = (engines.problem_with(version) for version in target.reached)
    return next((problem for problem in found if problem), None)
