"""Wanted moves that wait for an engine; the feeder calls `advance` each second."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import PromotionState, VersionStatus
from registry.errors import Conflict, RegistryError
from registry.models import Promotion
from registry.selectors import engines
from registry.services import aliases, audit


def advance() -> int:
    """Flip every waiting promotion whose version an engine has by now; returns how many moved."""
    waiting = Promotion.objects.filter(state=PromotionState.WAITING).select_related(
        "alias__version", "alias__adapter__team", "version__base_version__base_model", "version__adapter__team"
    )
    return sum(_advance(promotion) for promotion in waiting)


def _advance(promotion: Promotion) -> bool:
    problem = _impossible(promotion)
    if problem:
        _finish(promotion, PromotionState.FAILED, problem)
        return False
    if not engines.ready_for(promotion.version):
        return False
    try:
        with transaction.atomic():
            if not _finish(promotion, PromotionState.DONE, "moved"):
                return False
            by = SYSTEM.behalf(promotion.asked_by)
            aliases.flip(by=by, alias=promotion.alias, version=promotion.version, reason=promotion.reason)
    except RegistryError:
        return False  # Somebody moved the alias meanwhile; the next round sees the new state.
    return True


def _impossible(promotion: Promotion) -> str | None:
    if promotion.alias.deleted_at is not None:
        return "the alias was deleted"
    if promotion.version.status != VersionStatus.READY:
        return f"{promotion.version.address} is {promotion.version.status}"
    return engines.problem_with(promotion.version)


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


def cancel(*, by: Caller, promotion: Promotion) -> Promotion:
    require(by, Act.PUBLISH, promotion.alias.adapter.team)
    with transaction.atomic():
        if not _finish(promotion, PromotionState.CANCELLED, f"cancelled by {by.name}"):
            promotion.refresh_from_db()
            raise Conflict(f"This promotion is {promotion.state} already.", allowed=[])
        audit.record(by, "promotion.cancel", aliases.object_of(promotion.alias), team=promotion.alias.adapter.team)
    promotion.refresh_from_db()
    return promotion
