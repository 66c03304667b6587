"""Which adapter answers a client's slot, from when to when. Rows are closed, never rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from registry.access import Act, Caller, require
from registry.errors import Conflict, Invalid, NotFound
from registry.models import Adapter, AdapterVersion, Alias, Assignment, Client, Slot
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


def assign(
    *, by: Caller, client: Client, slot: str, target: Target, reason: str, starts_at: datetime | None = None
) -> Assignment:
    """Close what the slot has and open the new, at one moment: now, or `starts_at`."""
    require(by, Act.ASSIGN, client.team)
    _check(client, target)
    now = timezone.now()
    if starts_at is not None and starts_at < now:
        message = "starts_at lies in the past; the past can't be rewritten."
        error = {"param": "starts_at", "code": "in_the_past", "message": message}
        raise Invalid(message, param="starts_at", errors=[error])
    try:
        with transaction.atomic():
            row, _ = Slot.objects.get_or_create(client=client, name=slot)
            return _switch(by, _locked(row), target, max(starts_at or now, now), reason)
    except IntegrityError as error:
        raise Conflict("This slot was assigned by somebody else at the same moment; read it again.") from error


def end(*, by: Caller, client: Client, slot: str, reason: str = "") -> None:
    """From now on the slot answers `no_assignment`."""
    require(by, Act.ASSIGN, client.team)
    with transaction.atomic():
        row = _slot(client, slot)
        now = timezone.now()
        before = _close(row, now)
        if before is None:
            raise NotFound(f"{client.address} has no open assignment in slot '{slot}'.", code="no_assignment")
        audit.record(
            by, "assignment.end", object_of(row), team=client.team, before=_words(before), reason=reason, at=now
        )


def rollback(*, by: Caller, client: Client, slot: str, reason: str) -> Assignment:
    """Back to what the slot had before: a new row with the old target."""
    require(by, Act.ASSIGN, client.team)
    with transaction.atomic():
        row = _slot(client, slot)
        history = Assignment.objects.filter(slot=row, valid_from__lte=timezone.now()).select_related(
            "adapter__team", "alias__version", "version__base_version", "canary_version"
        )
        rows = [a for a in history.order_by("-valid_from", "-pk")[:50] if a.valid_from != a.valid_to]
        previous = next((a for a in rows[1:] if _target(a) != _target(rows[0])), None)
        if previous is None:
            raise Conflict(f"Slot '{slot}' of {client.address} has nothing to go back to.", code="nothing_before")
        target = _target(previous)
        _check(client, target)
        return _switch(by, row, target, timezone.now(), reason or f"back to assignment {previous.pk}")


def object_of(slot: Slot) -> str:
    return f"slot:{slot.client.address}/{slot.name}"


def _check(client: Client, target: Target) -> None:
    if target.adapter.team_id != client.team_id:
        raise NotFound(f"No such adapter: {target.adapter.address}.", param="adapter")
    if target.alias is not None and target.alias.deleted_at is not None:
        raise Conflict(f"The alias '{target.alias.name}' was deleted.", param="alias", code="alias_deleted")
    for version in (target.version, target.canary_version, target.alias.version if target.alias else None):
        if version is not None:
            aliases.check_servable(version, target.adapter)


def _switch(by: Caller, slot: Slot, target: Target, moment: datetime, reason: str) -> Assignment:
    before = _close(slot, moment)
    made = Assignment.objects.create(
        slot=slot,
        adapter=target.adapter,
        alias=target.alias,
        version=target.version,
        canary_version=target.canary_version,
        canary_percent=target.canary_percent,
        valid_from=moment,
        actor=by.on_behalf_of or by.name,
        reason=reason,
    )
    audit.record(
        by,
        "assignment.set",
        object_of(slot),
        team=slot.client.team,
        before=_words(before) if before else None,
        after={**target.words, "assignment": made.pk, "from": moment.isoformat()},
        reason=reason,
        at=moment if moment <= timezone.now() else None,
    )
    return made


def _close(slot: Slot, moment: datetime) -> Assignment | None:
    """End what runs at `moment`, and empty what was planned after it; returns the assignment that ran."""
    running = Q(valid_to__isnull=True) | Q(valid_to__gt=moment)
    rows = Assignment.objects.filter(running, slot=slot).select_related(
        "adapter__team", "alias__version", "version", "canary_version"
    )
    current = None
    for row in rows:
        if row.valid_from <= moment:
            current = row
        Assignment.objects.filter(pk=row.pk).update(valid_to=max(moment, row.valid_from))
    return current


def _slot(client: Client, name: str) -> Slot:
    row = Slot.objects.filter(client=client, name=name).first()
    if row is None:
        raise NotFound(f"{client.address} has no slot '{name}'.")
    return _locked(row)


def _locked(slot: Slot) -> Slot:
    """One mover of a slot at a time."""
    return Slot.objects.select_for_update(of=("self",)).select_related("client__team").get(pk=slot.pk)


def _target(row: Assignment) -> Target:
    return Target(row.adapter, row.alias, row.version, row.canary_version, row.canary_percent)


def _words(row: Assignment) -> dict[str, Any]:
    return {**_target(row).words, "assignment": row.pk}
