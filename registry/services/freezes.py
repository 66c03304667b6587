"""Times in which no alias moves: of one team, or of the whole installation.

`protection` asks `check` before every move. What is frozen is promotion: jobs run, assignments are made and
ended, and a promotion that waits goes on waiting. An emergency gets past: `force`, to a version that the alias
has had before, by who could lift the freeze for good: a team's owner, or an administrator where all are frozen.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry.access import Act, Caller, administers, require, require_administrator, standing
from registry.choices import Role
from registry.errors import Conflict, Invalid, fault
from registry.models import Freeze, Team
from registry.services import audit


def freeze(*, by: Caller, team: Team | None, reason: str, until: datetime) -> Freeze:
    """Without a team: all of them."""
    _require(by, team)
    wrong = []
    if not reason.strip():
        wrong.append(fault("reason", "required", "reason: say why nothing may move."))
    if until <= timezone.now():
        wrong.append(fault("until", "in_the_past", "until must lie in the future."))
    if wrong:
        raise Invalid(wrong[0]["message"], param=wrong[0]["param"], errors=wrong)
    with transaction.atomic():
        row = Freeze.objects.create(team=team, reason=reason, until=until, actor=by.on_behalf_of or by.name)
        after = {"freeze": row.pk, "until": until.isoformat()}
        audit.record(by, "freeze.begin", audit.object_of(team), team=team, after=after, reason=reason)
        return row


def lift(*, by: Caller, freeze: Freeze, reason: str = "") -> Freeze:
    """Before its time: what waited moves within a second or two."""
    _require(by, freeze.team)
    now = timezone.now()
    with transaction.atomic():
        holding = Freeze.objects.filter(pk=freeze.pk, lifted_at__isnull=True, until__gt=now)
        if holding.update(lifted_at=now, lifted_by=by.on_behalf_of or by.name) != 1:
            freeze.refresh_from_db()
            ended = freeze.lifted_at or freeze.until
            raise Conflict(f"This freeze ended at {ended.isoformat()}.", code="ended", allowed=[])
        after = {"freeze": freeze.pk}
        audit.record(by, "freeze.lift", audit.object_of(freeze.team), team=freeze.team, after=after, reason=reason)
    freeze.refresh_from_db()
    return freeze


def _require(by: Caller, team: Team | None) -> None:
    if team is None:
        require_administrator(by)
    else:
        require(by, Act.PUBLISH, team)


def holding(team: Team) -> Freeze | None:
    """What keeps the team's aliases where they are: the installation's before its own, the longest of each."""
    rows = Freeze.objects.at(timezone.now()).filter(Q(team=team) | Q(team__isnull=True))
    return min(rows.order_by("-until"), key=lambda row: row.team_id is not None, default=None)


def check(team: Team) -> None:
    """Raises Conflict (`frozen`)."""
    row = holding(team)
    if row is None:
        return
    who = f"team {team.slug}" if row.team_id else "this installation"
    until = row.until.isoformat(timespec="minutes")
    text = f"{row.actor} froze {who} until {until}: {row.reason}. Ask for it to be lifted, or wait."
    details = {
        "freeze": {"id": str(row.pk), "by": row.actor, "reason": row.reason, "until": row.until.isoformat()}
    }
    raise Conflict(text, code="frozen", details=details)


def may_pass(by: Caller, team: Team) -> bool:
    """Whether `by` may move an alias back in an emergency."""
    row = holding(team)
    if row is not None and row.team_id is None:
        return administers(by)
    return standing(by, team) == Role.OWNER
