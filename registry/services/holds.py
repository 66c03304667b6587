"""Legal holds: while one is open, no event of the team's and no receipt of its clients is deleted.

Both are deleted under the lock of the chain, which is taken here too: what a hold finds when it is placed, stays.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from registry.access import Caller, require_administrator
from registry.errors import Conflict, Invalid
from registry.models import LegalHold, Team
from registry.services import audit


def place(*, by: Caller, team: Team | None, reason: str) -> LegalHold:
    """Without a team: everything."""
    require_administrator(by)
    if not reason.strip():
        raise Invalid.at("reason", "required", "reason: say why nothing may be deleted.")
    with transaction.atomic():
        audit.lock_chain()
        row = LegalHold.objects.create(team=team, reason=reason, actor=by.on_behalf_of or by.name)
        audit.record(by, "hold.place", audit.object_of(team), team=team, after={"hold": row.pk}, reason=reason)
        return row


def lift(*, by: Caller, hold: LegalHold, reason: str) -> LegalHold:
    """What it alone kept goes with the next round."""
    require_administrator(by)
    if not reason.strip():
        raise Invalid.at("reason", "required", "reason: say why it may be deleted now.")
    with transaction.atomic():
        who = by.on_behalf_of or by.name
        if LegalHold.objects.open().filter(pk=hold.pk).update(lifted_at=timezone.now(), lifted_by=who) != 1:
            raise Conflict("This hold was lifted before.", code="ended", allowed=[])
        audit.record(
            by, "hold.lift", audit.object_of(hold.team), team=hold.team, before={"hold": hold.pk}, reason=reason
        )
    hold.refresh_from_db()
    return hold
