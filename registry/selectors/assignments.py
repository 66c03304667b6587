"""Who had what: the join of two append-only histories, assignments and alias moves, read at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, fetch, require, visible
from registry.choices import PromotionState
from registry.errors import NotFound
from registry.models import (
    Adapter,
    AdapterVersion,
    AliasHistory,
    Assignment,
    AssignmentMove,
    AuditEvent,
    Client,
    ClientKey,
)

ROWS = (
    "adapter__team",
    "alias",
    "version__base_version__base_model",
    "version__adapter__team",
    "canary_version__base_version__base_model",
    "canary_version__adapter__team",
    "slot__client__team",
)

ORDERS = ("name", "-name", "created_at", "-created_at")


@dataclass(frozen=True)
class Share:
    version: AdapterVersion
    percent: int


@dataclass(frozen=True)
class Resolved:
    """What a slot had at a time. `until` is None while it still holds."""

    client: Client
    slot: str
    at: datetime
    shares: list[Share]
    since: datetime
    until: datetime | None
    assignment: Assignment
    audit_seq: int | None


def clients(
    by: Caller, *, team: str = "", vertical: str = "", q: str = "", builtin: bool = False
) -> QuerySet[Client]:
    """Those that people made; with `builtin` those that teams chat by themselves."""
    rows = visible(by, Client.objects.select_related("team").filter(builtin=builtin))
    rows = rows.filter(team__slug=team) if team else rows
    rows = rows.filter(vertical=vertical) if vertical else rows
    return rows.filter(name__icontains=q) if q else rows


def keys(by: Caller, client: Client) -> QuerySet[ClientKey]:
    require(by, Act.READ, client.team)
    return ClientKey.objects.filter(client=client, revoked_at__isnull=True)


def at_time(rows: QuerySet[Assignment], at: datetime) -> QuerySet[Assignment]:
    return rows.filter(valid_from__lte=at).filter(Q(valid_to__isnull=True) | Q(valid_to__gt=at))


def open_assignments(by: Caller, client: Client) -> QuerySet[Assignment]:
    require(by, Act.READ, client.team)
    rows = Assignment.objects.select_related(*ROWS, "alias__version__base_version").filter(slot__client=client)
    return at_time(rows, timezone.now())


def in_slot(by: Caller, client: Client, slot: str) -> Assignment:
    """What the slot has now. Raises `NotFound` (`no_assignment`)."""
    row = open_assignments(by, client).filter(slot__name=slot).first()
    if row is None:
        raise NotFound(f"{client.address} has nothing assigned in slot '{slot}'.", code="no_assignment")
    return row


def move(by: Caller, client: Client, pk: int) -> AssignmentMove:
    """A move of one of the client's slots that waits, or waited, for an engine."""
    return fetch(by, Act.READ, _moves(client), team="slot__client__team", pk=pk)


def waiting(by: Caller, client: Client) -> QuerySet[AssignmentMove]:
    """Moves of the client's slots that an engine must be readied for first."""
    require(by, Act.READ, client.team)
    return _moves(client).filter(state=PromotionState.WAITING).order_by("slot__name")


def _moves(client: Client) -> QuerySet[AssignmentMove]:
    rows = AssignmentMove.objects.select_related(
        "slot__client__team", "adapter__team", "alias__version", "version", "canary_version"
    )
    return rows.filter(slot__client=client)


def resolve(by: Caller, client: Client, slot: str, at: datetime | None = None) -> Resolved:
    """Raises `NotFound` (`no_assignment`) where the slot had nothing then."""
    require(by, Act.READ, client.team)
    moment = at or timezone.now()
    rows = Assignment.objects.select_related(*ROWS).filter(slot__client=client, slot__name=slot)
    assignment = at_time(rows, moment).first()
    if assignment is None:
        raise NotFound(
            f"{client.address} had nothing assigned in slot '{slot}' at {moment.isoformat()}.",
            code="no_assignment",
        )
    version, since, until = _reached(assignment, moment)
    shares = [Share(version, 100 - assignment.canary_percent)]
    if assignment.canary_version is not None and assignment.canary_percent:
        shares.append(Share(assignment.canary_version, assignment.canary_percent))
    seq = _proof(assignment, moment)
    return Resolved(client, slot, moment, shares, since, until, assignment, seq)


def _reached(assignment: Assignment, moment: datetime) -> tuple[AdapterVersion, datetime, datetime | None]:
    """The version that the assignment reached, and the interval in which neither history moved."""
    if assignment.version is not None:
        return assignment.version, assignment.valid_from, assignment.valid_to
    history = (
        AliasHistory.objects.select_related("version__base_version__base_model", "version__adapter__team")
        .filter(alias=assignment.alias_id, valid_from__lte=moment)
        .filter(Q(valid_to__isnull=True) | Q(valid_to__gt=moment))
        .first()
    )
    if history is None:
        raise NotFound("The alias pointed nowhere then.", code="no_assignment")
    ends = [end for end in (assignment.valid_to, history.valid_to) if end is not None]
    return history.version, max(assignment.valid_from, history.valid_from), min(ends) if ends else None


def _proof(assignment: Assignment, moment: datetime) -> int | None:
    """The seal position of the last audit event that made it so; None until it is sealed."""
    names = [f"slot:{assignment.slot.client.address}/{assignment.slot.name}"]
    if assignment.alias is not None:
        names.append(f"alias:{assignment.adapter.address}@{assignment.alias.name}")
    actions = ("assignment.set", "alias.move", "alias.create")
    events = AuditEvent.objects.filter(object__in=names, action__in=actions, at__lte=moment)
    found: int | None = events.aggregate(seq=Max("seal__position"))["seq"]
    return found


def clients_of(by: Caller, adapter: Adapter, at: datetime | None = None) -> list[Resolved]:
    """Every client slot that the adapter answered at a time."""
    require(by, Act.READ, adapter.team)
    moment = at or timezone.now()
    rows = at_time(Assignment.objects.select_related(*ROWS).filter(adapter=adapter), moment)
    return [resolve(by, row.slot.client, row.slot.name, moment) for row in rows]
