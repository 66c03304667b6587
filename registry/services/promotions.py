"""Wanted moves that wait for an engine; the feeder calls `advance` each second."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import PromotionState
from registry.errors import Conflict, RegistryError
from registry.models import Alias, Promotion
from registry.selectors import engines
from registry.services import aliases, audit, freezes, protection

log = logging.getLogger(__name__)


def advance() -> int:
    """Flip every waiting promotion whose version an engine has by now; returns how many moved."""
    waiting = Promotion.objects.filter(state=PromotionState.WAITING).select_related(
        "alias__version", "alias__adapter__team", "version__base_version__base_model", "version__adapter__team"
    )
    moved = 0
    for promotion in waiting:
        try:
            moved += _advance(promotion)
        except (IntegrityError, RegistryError):  # the others go on, and the next round sees what changed
            log.exception("promotion %s of %s", promotion.pk, promotion.version.address)
    return moved


def _advance(promotion: Promotion) -> bool:
    """1 does it make sense still, and has an engine the version 2 lock alias and version 3 look again 4 flip.

    What protects the alias is what protects it now, not when the promotion was asked for. While its team is frozen
    it waits, whatever else there is to say of it.
    """
    if freezes.holding(promotion.alias.adapter.team) is not None:
        return False
    by = SYSTEM.behalf(promotion.asked_by)
    problem = engines.problem_with(promotion.version)
    if problem is None and _impossible(promotion) is None and not engines.ready_for(promotion.version):
        return False
    with transaction.atomic():
        alias = aliases.lock(Alias.objects.filter(pk=promotion.alias_id))
        problem = problem or ("the alias was deleted" if alias is None else _unservable(promotion))
        if alias is not None and problem is None:
            problem = protection.refusal(by=by, alias=alias, version=promotion.version)
        if alias is None or problem:
            _finish(promotion, PromotionState.FAILED, problem or "")
            return False
        if not _finish(promotion, PromotionState.DONE, "moved"):
            return False
        aliases.flip(by=by, alias=alias, version=promotion.version, reason=promotion.reason)
        return True


def _impossible(promotion: Promotion) -> str | None:
    """As the row was read: what has ended since is found under lock."""
    if promotion.alias.deleted_at is not None:
        return "the alias was deleted"
    try:
        aliases.check_servable(promotion.version, promotion.alias.adapter)
    except RegistryError as error:
        return error.message
    return None


def _unservable(promotion: Promotion) -> str | None:
    """Locked: what is servable stays so until the alias has moved."""
    try:
        aliases.lock_servable([promotion.version], promotion.alias.adapter)
    except RegistryError as error:
        return error.message
    return None


def _finish(promotion: Promotion, state: PromotionState, outcome: str) -> bool:
    claimed = Promotion.objects.filter(pk=promotion.pk, state=PromotionState.WAITING)
    with transaction.atomic():
        if claimed.update(state=state, outcome=outcome, finished_at=timezone.now()) != 1:
            return False
        audit.record(
            SYSTEM.behalf(promotion.asked_by),
            f"promotion.{state}",
            aliases.object_of(promotion.alias),
            team=promotion.alias.adapter.team,
            after={"promotion": promotion.pk, "version": promotion.version.number},
            reason=outcome,
        )
    return True


def cancel(*, by: Caller, promotion: Promotion, reason: str = "") -> Promotion:
    team = promotion.alias.adapter.team
    require(by, Act.PUBLISH, team)
    with transaction.atomic():
        if not _finish(promotion, PromotionState.CANCELLED, f"cancelled by {by.name}"):
            promotion.refresh_from_db()
            raise Conflict(f"This promotion is {promotion.state} already.", allowed=[])
        audit.record(by, "promotion.cancel", aliases.object_of(promotion.alias), team=team, reason=reason)
    promotion.refresh_from_db()
    return promotion
