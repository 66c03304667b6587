"""Who had what: the join of two append-only histories, assignments and alias moves, read at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TypeVar

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from registry.access import Act, Caller, fetch, require
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
from registry.selectors import addresses

ROWS = (
    "adapter__team",
    "alias",
    "version__base_version__base_model",
    "version__adapter__team",
    "canary_version__base_version__base_model",
    "canary_version__adapter__team",
    "slot__client__team",
)

H = TypeVar("H", Assignment, AliasHistory)
CHUNK = 5000  # rows in one query: SQLite takes 32,766 parameters


@dataclass(frozen=True)
class Share:
    version: AdapterVersion
    percent: int


@dataclass(frozen=True)
class Resolved:
    """What a slot had at a time. `until` is None while it still holds; `actor` is who brought it about by the
    later of the two, the assignment or the move of the alias that it follows."""

    client: Client
    slot: str
    at: datetime
    shares: list[Share]
    since: datetime
    until: datetime | None
    assignment: Assignment
    audit_seq: int | None
    actor: str
    reason: str


def keys(by: Caller, client: Client) -> QuerySet[ClientKey]:
    require(by, Act.READ, client.team)
    return ClientKey.objects.filter(client=client, revoked_at__isnull=True)


def at_time(rows: QuerySet[H], at: datetime) -> QuerySet[H]:
    """Of a history, what held at that moment."""
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


def resolve(by: Caller, client: str, slot: str, at: datetime | None = None) -> Resolved:
    """What the client of that address had. Raises `NotFound` (`no_assignment`) where the slot had nothing then."""
    address = addresses.whole(client, param="client")
    moment = at or timezone.now()
    named = {"slot__client__team__slug": address.team, "slot__client__name": address.name, "slot__name": slot}
    rows = at_time(_named(), moment)
    try:
        assignment = fetch(by, Act.READ, rows, team="slot__client__team", **named)
    except NotFound:
        addresses.client(by, Act.READ, client, param="client")  # says so where the client is what is missing
        text = f"{client} had nothing assigned in slot '{slot}' at {moment.isoformat()}."
        raise NotFound(text, code="no_assignment") from None
    found = _resolved([assignment], moment)
    if not found:
        raise NotFound("The alias pointed nowhere then.", code="no_assignment")
    return found[0]


@cache  # putting it together costs as much as asking; whoever uses it narrows a copy
def _named() -> QuerySet[Assignment]:
    """With the names around them, and no more: asked at every resolve."""
    own = ("adapter_id", "alias_id", "version_id", "canary_version_id", "canary_percent", "valid_from", "valid_to")
    said = ("slot__name", "slot__client__name", "slot__client__team__slug", "alias__name")
    rows = Assignment.objects.order_by().select_related("slot__client__team", "adapter__team", "alias")
    return rows.only(*own, "actor", "reason", *said, "adapter__name", "adapter__team__slug")


def _resolved(assignments: Sequence[Assignment], moment: datetime) -> list[Resolved]:
    """What each of the assignments reached, in three queries at most; none for an alias that pointed nowhere."""
    followed = {row.alias_id for row in assignments if row.alias_id is not None}
    pointed = at_time(_pointed().filter(alias__in=followed), moment) if followed else ()
    histories = {row.alias_id: row for row in pointed}
    reached = {row.pk: found for row in assignments if (found := _reached(row, histories)) is not None}
    versions = {row.version_id: row.version for row in histories.values()}
    named = {pk for row in assignments for pk in (row.version_id, row.canary_version_id) if pk}
    if rest := named - versions.keys():
        versions |= {row.pk: row for row in _reachable().filter(pk__in=rest)}
    proofs = _proofs([name for row in assignments for name in _objects(row)], moment)
    return [
        Resolved(
            row.slot.client,
            row.slot.name,
            moment,
            _shares(row, reached[row.pk].version, versions),
            reached[row.pk].since,
            reached[row.pk].until,
            row,
            max((seq for name in _objects(row) if (seq := proofs.get(name)) is not None), default=None),
            reached[row.pk].actor,
            reached[row.pk].reason,
        )
        for row in assignments
        if row.pk in reached
    ]


@dataclass(frozen=True)
class Reached:
    """A version, by its id, the interval in which nothing moved, and who began it."""

    version: int
    since: datetime
    until: datetime | None
    actor: str
    reason: str


def _reached(row: Assignment, histories: Mapping[int, AliasHistory]) -> Reached | None:
    """The version that the assignment reached, and the interval in which neither history moved."""
    if row.version_id is not None:
        return Reached(row.version_id, row.valid_from, row.valid_to, row.actor, row.reason)
    history = histories.get(row.alias_id or 0)
    if history is None:
        return None
    ends = [end for end in (row.valid_to, history.valid_to) if end is not None]
    until = min(ends) if ends else None
    if history.valid_from > row.valid_from:
        return Reached(history.version_id, history.valid_from, until, history.actor, history.reason)
    return Reached(history.version_id, row.valid_from, until, row.actor, row.reason)


VERSION = (
    "number",
    "manifest_id",
    "adapter__name",
    "adapter__team__slug",
    "base_version__number",
    "base_version__base_model__name",
)


@cache
def _reachable() -> QuerySet[AdapterVersion]:
    return AdapterVersion.objects.select_related("adapter__team", "base_version__base_model").only(*VERSION)


@cache
def _pointed() -> QuerySet[AliasHistory]:
    """With the versions, so that what an alias reached takes no query of its own."""
    rows = AliasHistory.objects.order_by().select_related(
        "version__adapter__team", "version__base_version__base_model"
    )
    own = ("alias_id", "valid_from", "valid_to", "actor", "reason")
    return rows.only(*own, *(f"version__{name}" for name in VERSION))


def _shares(row: Assignment, version: int, versions: Mapping[int, AdapterVersion]) -> list[Share]:
    shares = [Share(versions[version], 100 - row.canary_percent)]
    if row.canary_version_id is not None and row.canary_percent:
        shares.append(Share(versions[row.canary_version_id], row.canary_percent))
    return shares


def _objects(row: Assignment) -> list[str]:
    """What the audit calls the things that decided."""
    slot = f"slot:{row.slot.client.address}/{row.slot.name}"
    return [slot, f"alias:{row.adapter.address}@{row.alias.name}"] if row.alias else [slot]


def _proofs(objects: Sequence[str], moment: datetime) -> dict[str, int | None]:
    """The seal position of the last audit event that made each object so; None until it is sealed."""
    actions = ("assignment.set", "alias.move", "alias.create")
    events = AuditEvent.objects.filter(object__in=objects, action__in=actions, at__lte=moment)
    return dict(events.order_by().values_list("object").annotate(seq=Max("seal__position")))


def clients_of(by: Caller, adapter: Adapter, at: datetime | None = None) -> list[Resolved]:
    """Every client slot that the adapter answered at a time."""
    require(by, Act.READ, adapter.team)
    moment = at or timezone.now()
    rows = list(at_time(_named().filter(adapter=adapter), moment))
    parts = (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
    return [found for part in parts for found in _resolved(part, moment)]
