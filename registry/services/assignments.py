"""Which adapter answers a client's slot, from when to when. Rows are closed, never rewritten.

An assignment takes effect at once; requests wait a moment where no engine has its target yet. A rollback of a slot
that is being answered waits itself until one has (`AssignmentMove`), so that for the client it is a flip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from registry.access import Act, Caller, require
from registry.choices import PromotionState, VersionStatus
from registry.errors import Conflict, Invalid, NotFound
from registry.models import Adapter, AdapterVersion, Alias, Assignment, AssignmentMove, Client, Slot
from registry.selectors import engines
from registry.services import aliases, audit


@dataclass(frozen=True)
class Target:
    """What a slot shall be answered by: an alias or a pinned version, perhaps with a canary."""

    adapter: Adapter
    alias: Alias | None = None
    version: AdapterVersion | None = None
    canary_version: AdapterVersion | None = None
    canary_percent: int = 0

    @property
    def reached(self) -> list[AdapterVersion]:
        """The versions that answer: the one that is pinned or aliased, and the canary."""
        named = (self.version, self.alias.version if self.alias else None, self.canary_version)
        return [version for version in named if version is not None]

    @property
    def words(self) -> dict[str, Any]:
        """For the audit: names and digests."""
        reached = self.version or (self.alias.version if self.alias else None)
        canary = (
            {"version": self.canary_version.number, "percent": self.canary_percent}
            if self.canary_version
            else None
        )
        return {
            "adapter": self.adapter.address,
            "alias": self.alias.name if self.alias else None,
            "version": self.version.number if self.version else None,
            "digest": reached.manifest_id if reached else None,
            "canary": canary,
        }

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "adapter": self.adapter,
            "alias": self.alias,
            "version": self.version,
            "canary_version": self.canary_version,
            "canary_percent": self.canary_percent,
        }


def assign(
    *,
    by: Caller,
    client: Client,
    slot: str,
    target: Target,
    reason: str,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Assignment:
    """Close what the slot has and open the new, at one moment: now or `starts_at`.

    From `ends_at` on the slot answers `no_assignment`, unless something else was assigned by then.
    """
    require(by, Act.ASSIGN, client.team)
    _check_times(starts_at, ends_at)
    try:
        with transaction.atomic():
            row, _ = Slot.objects.get_or_create(client=client, name=slot)
            row = lock_slot(row)
            checked = as_it_is(client, target)
            moment = timezone.now()  # under the slot's lock: nothing that began before it is still to be written
            withdraw_waiting(by, row, "superseded by another assignment")
            moment = max(starts_at or moment, moment)
            return switch(by=by, slot=row, target=checked, moment=moment, reason=reason, until=ends_at)
    except IntegrityError as error:
        raise Conflict("This slot was assigned by somebody else at the same moment; read it again.") from error


def _check_times(starts_at: datetime | None, ends_at: datetime | None) -> None:
    now = timezone.now()
    if starts_at is not None and starts_at < now:
        text = "starts_at lies in the past; the past can't be rewritten."
        raise Invalid.at("starts_at", "in_the_past", text)
    if ends_at is not None and ends_at <= (starts_at or now):
        text = f"ends_at must lie after {'starts_at' if starts_at else 'now'}."
        raise Invalid.at("ends_at", "out_of_range", text)


def end(*, by: Caller, client: Client, slot: str, reason: str = "") -> None:
    """From now on the slot answers `no_assignment`, and what was planned for it does not begin."""
    require(by, Act.ASSIGN, client.team)
    with transaction.atomic():
        close(by=by, slot=_slot(client, slot), reason=reason)


def close(*, by: Caller, slot: Slot, reason: str) -> None:
    """The end itself, under the slot's lock."""
    now = timezone.now()
    withdraw_waiting(by, slot, "the assignment was ended")
    ended, client = _close(slot, now), slot.client
    if not ended:
        raise NotFound(f"{client.address} has no open assignment in slot '{slot.name}'.", code="no_assignment")
    before = _words(ended[0])
    audit.record(by, "assignment.end", object_of(slot), team=client.team, before=before, reason=reason, at=now)


def rollback(*, by: Caller, client: Client, slot: str, reason: str) -> Assignment | AssignmentMove:
    """Back to what the slot had before: a new row with the old target."""
    require(by, Act.ASSIGN, client.team)
    with transaction.atomic():
        row = _slot(client, slot)
        history = Assignment.objects.filter(slot=row, valid_from__lte=timezone.now()).select_related(*TARGET)
        rows = [a for a in history.order_by("-valid_from", "-pk")[:50] if a.valid_from != a.valid_to]
        previous = next((a for a in rows[1:] if target_of(a) != target_of(rows[0])), None)
        if previous is None:
            raise Conflict(f"Slot '{slot}' of {client.address} has nothing to go back to.", code="nothing_before")
        target, words = as_it_is(client, target_of(previous)), reason or f"back to assignment {previous.pk}"
        moment = timezone.now()
        if _must_wait(row, target, moment):
            return wait(by, row, target, words)
        withdraw_waiting(by, row, "superseded by another assignment")
        return switch(by=by, slot=row, target=target, moment=moment, reason=words)


def take_back(
    *, by: Caller, slot: Slot, made: int, previous: int | None, until: datetime | None, reason: str
) -> Assignment | AssignmentMove | None:
    """Instead of the assignment `made` what it replaced, until that would have ended; None where that was nothing.

    Under the slot's lock, and only while nothing came after `made`: of what was planned nothing is kept.
    """
    require(by, Act.ASSIGN, slot.client.team)
    rows = Assignment.objects.select_related(*TARGET).filter(slot=slot)
    taken, now = rows.get(pk=made), timezone.now()
    moment = max(now, taken.valid_from)
    if previous is None or (until is not None and until <= moment):
        rows.filter(_running(moment), pk=made).update(valid_to=moment)
        audit.record(
            by,
            "assignment.end",
            object_of(slot),
            team=slot.client.team,
            before=_words(taken),
            reason=reason,
            at=now,
        )
        return None
    target = as_it_is(slot.client, target_of(rows.get(pk=previous)))
    if until is None and moment == now and _must_wait(slot, target, moment):
        return wait(by, slot, target, reason)
    return switch(by=by, slot=slot, target=target, moment=moment, reason=reason, until=until)


def object_of(slot: Slot) -> str:
    return f"slot:{slot.client.address}/{slot.name}"


def as_it_is(client: Client, target: Target) -> Target:
    """The target read again, its rows locked, so that it can be served still when the assignment is committed."""
    if target.adapter.team_id != client.team_id:
        raise NotFound(f"No such adapter: {target.adapter.address}.", param="adapter")
    alias = None
    if target.alias is not None:
        alias = aliases.lock(Alias.objects.filter(pk=target.alias.pk))
        if alias is None:
            raise Conflict(f"The alias '{target.alias.name}' was deleted.", param="alias", code="alias_deleted")
        if alias.adapter_id != target.adapter.pk:
            raise NotFound(f"{target.adapter.address} has no alias '{alias.name}'.", param="alias")
    now = replace(target, alias=alias)
    held = aliases.lock_servable(now.reached, now.adapter)
    version = held[now.version.pk] if now.version else None
    canary = held[now.canary_version.pk] if now.canary_version else None
    return replace(now, version=version, canary_version=canary)


def _must_wait(slot: Slot, target: Target, moment: datetime) -> bool:
    """Whether waiting spares the client something: engines answer it now, and would not afterwards."""
    running = _running(moment)
    current = Assignment.objects.filter(running, slot=slot, valid_from__lte=moment).select_related(*TARGET).first()
    return current is not None and answered(target_of(current)) and not answered(target)


def answered(target: Target) -> bool:
    """Whether engines hold every version that the target reaches."""
    return all(v.status == VersionStatus.READY and engines.ready_for(v) for v in target.reached)


def wait(by: Caller, slot: Slot, target: Target, reason: str) -> AssignmentMove:
    """Asked twice it is one move."""
    for waiting in AssignmentMove.objects.filter(slot=slot, state=PromotionState.WAITING).select_related(*TARGET):
        if target_of(waiting) == target:
            return waiting
    withdraw_waiting(by, slot, "superseded by another assignment")
    move = AssignmentMove.objects.create(
        slot=slot, **target.columns, asked_by=by.on_behalf_of or by.name, reason=reason
    )
    after = {**target.words, "move": move.pk}
    audit.record(by, "assignment_move.create", object_of(slot), team=slot.client.team, after=after, reason=reason)
    return move


def withdraw_waiting(by: Caller, slot: Slot, outcome: str) -> None:
    for move in AssignmentMove.objects.filter(slot=slot, state=PromotionState.WAITING):
        finish_move(by, slot, move, PromotionState.CANCELLED, outcome)


def finish_move(by: Caller, slot: Slot, move: AssignmentMove, state: PromotionState, outcome: str) -> bool:
    """Claim a waiting move for its end, in the transaction of what ends it; False where it has ended."""
    waiting = AssignmentMove.objects.filter(pk=move.pk, state=PromotionState.WAITING)
    if waiting.update(state=state, outcome=outcome, finished_at=timezone.now()) != 1:
        return False
    action, after = f"assignment_move.{state}", {"move": move.pk}
    audit.record(by, action, object_of(slot), team=slot.client.team, after=after, reason=outcome)
    return True


def switch(
    *, by: Caller, slot: Slot, target: Target, moment: datetime, reason: str, until: datetime | None = None
) -> Assignment:
    """The move itself, under the slot's lock, to a target that was locked too."""
    closed = _close(slot, moment)
    running = next((row for row in closed if row.valid_from <= moment), None)
    made = Assignment.objects.create(
        slot=slot,
        **target.columns,
        valid_from=moment,
        valid_to=until,
        actor=by.on_behalf_of or by.name,
        reason=reason,
    )
    ends: dict[str, Any] = {"until": until.isoformat()} if until else {}
    if plans := [row.pk for row in closed if row != running]:
        ends["dropped"] = plans
    audit.record(
        by,
        "assignment.set",
        object_of(slot),
        team=slot.client.team,
        before=_words(running) if running else None,
        after={**target.words, "assignment": made.pk, "from": moment.isoformat(), **ends},
        reason=reason,
        at=moment if moment <= timezone.now() else None,
    )
    return made


def _running(moment: datetime) -> Q:
    return Q(valid_to__isnull=True) | Q(valid_to__gt=moment)


def _close(slot: Slot, moment: datetime) -> list[Assignment]:
    """End what runs at `moment`, and empty what was planned after it; returns them, what ran first."""
    rows = Assignment.objects.filter(_running(moment), slot=slot).select_related(*TARGET)
    rows = rows.exclude(valid_to__isnull=False, valid_to=F("valid_from"))  # a plan that was emptied before
    closed = list(rows.order_by("valid_from", "pk"))
    for row in closed:
        Assignment.objects.filter(pk=row.pk).update(valid_to=max(moment, row.valid_from))
    return closed


TARGET = ("adapter__team", "alias__version__base_version", "version__base_version", "canary_version__base_version")


def _slot(client: Client, name: str) -> Slot:
    row = Slot.objects.filter(client=client, name=name).first()
    if row is None:
        raise NotFound(f"{client.address} has no slot '{name}'.")
    return lock_slot(row)


def lock_slot(slot: Slot) -> Slot:
    """One mover of a slot at a time."""
    return Slot.objects.select_for_update(of=("self",)).select_related("client__team").get(pk=slot.pk)


def target_of(row: Assignment | AssignmentMove) -> Target:
    return Target(row.adapter, row.alias, row.version, row.canary_version, row.canary_percent)


def _words(row: Assignment) -> dict[str, Any]:
    """As it was read: `until` is the end that it had before it was closed."""
    ends = {"until": row.valid_to.isoformat()} if row.valid_to else {}
    return {**target_of(row).words, "assignment": row.pk, **ends}
