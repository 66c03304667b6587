"""What a bulk move would do, slot by slot: the preview and the move itself read the same plan.

Call `plan` inside a transaction: slots, aliases and versions are locked as they are read, so that what was planned
is what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from registry.choices import PromotionState
from registry.errors import Invalid, RegistryError
from registry.models import (
    Adapter,
    AliasHistory,
    Assignment,
    AssignmentMove,
    BulkMove,
    BulkMoveItem,
    Client,
    ClientLabel,
    Slot,
    Team,
)
from registry.selectors.assignments import at_time
from registry.selectors.searches import labelled
from registry.services import assignments
from registry.services.assignments import TARGET, Target, target_of

MOST = 2000  # slots of one bulk move: one transaction holds them all
MOVES, WAITS, STAYS, REFUSED = "moves", "waits", "stays", "refused"
HAS_IT = "it has that already"


@dataclass(frozen=True)
class Filter:
    """Which slots of a team; what is empty narrows nothing. `adapter` is the one that answers now."""

    adapter: Adapter | None = None
    vertical: str = ""
    labels: Sequence[tuple[str, str]] = ()
    clients: Sequence[Client] | None = None
    slot: str = ""


@dataclass(frozen=True)
class Step:
    """One slot: what it has, what it gets (nothing: it ends), and why it stays or is refused."""

    slot: Slot
    now: Assignment | None
    target: Target | None
    outcome: str
    why: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a slot shall get; with `stays` or `refused` nothing, and why."""

    target: Target | None = None
    stays: str = ""
    refused: str = ""


Running = Mapping[int, Assignment]  # what each slot has, by the slot's id; what has nothing is left out
Wants = Callable[[list[Slot], Running], Mapping[int, Wanted]]  # by the slot's id


def slots_of(team: Team, narrowed: Filter, *, unassigned: bool) -> QuerySet[Slot]:
    """Slots that are answered now, and with `unassigned` the default one of a client that nothing answers."""
    rows = Slot.objects.filter(client__team=team, client__builtin=False)
    rows = rows.filter(client__vertical=narrowed.vertical) if narrowed.vertical else rows
    rows = rows.filter(name=narrowed.slot) if narrowed.slot else rows
    if narrowed.clients is not None:
        rows = rows.filter(client__in=[client.pk for client in narrowed.clients])
    for key, value in narrowed.labels:
        rows = rows.filter(client__in=Client.objects.filter(labelled(ClientLabel, "client", key, value)))
    now = timezone.now()
    running = at_time(Assignment.objects.filter(slot=OuterRef("pk")), now)
    if narrowed.adapter is not None:
        return rows.filter(Exists(running.filter(adapter=narrowed.adapter)))
    none = ~Exists(at_time(Assignment.objects.filter(slot__client=OuterRef("client")), now))
    return rows.filter(Exists(running) | Q(name="default") & none) if unassigned else rows.filter(Exists(running))


def plan(rows: QuerySet[Slot], wants: Wants) -> list[Step]:
    """1 lock the slots 2 what each has now 3 what it shall get 4 can it be had 5 at once, or with an engine."""
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
    if len(ids) > MOST:
        text = f"This names more than {MOST} slots; narrow it, and move them in several calls."
        raise Invalid.at("filter", "too_many", text)
    locked = Slot.objects.select_for_update(of=("self",)).select_related("client__team").filter(pk__in=ids)
    slots = list(locked.order_by("pk"))
    now = timezone.now()
    running = {row.slot_id: row for row in _at(ids, now)}
    later, servable, wanted = _planned(ids, now), _Servable(), wants(slots, running)
    steps = [_step(slot, running.get(slot.pk), wanted[slot.pk], servable) for slot in slots]
    found = [_not_planned(step, later) for step in steps]
    return sorted(found, key=lambda step: (step.slot.client.name, step.slot.name))


def _at(slots: Iterable[int], moment: datetime) -> QuerySet[Assignment]:
    return at_time(Assignment.objects.select_related(*TARGET).filter(slot__in=slots), moment)


def _planned(slots: Iterable[int], now: datetime) -> set[int]:
    """Slots that something is planned for: a beginning or an end that lies ahead."""
    rows = Assignment.objects.filter(slot__in=slots, valid_to__gt=now) | Assignment.objects.filter(
        slot__in=slots, valid_from__gt=now
    )
    return set(rows.exclude(valid_to__isnull=False, valid_to=F("valid_from")).values_list("slot", flat=True))


class _Servable:
    """Each target is locked and checked once, however many slots get it."""

    def __init__(self) -> None:
        self._known: dict[Target, Target | str] = {}
        self._answered: dict[Target, bool] = {}

    def get(self, client: Client, target: Target) -> Target | str:
        """The target as it is now, or why it can't be had."""
        if target not in self._known:
            try:
                self._known[target] = assignments.as_it_is(client, target)
            except RegistryError as error:
                self._known[target] = error.message
        return self._known[target]

    def must_wait(self, now: Assignment | None, target: Target) -> bool:
        """As a rollback does: engines answer what it has, and would not what it gets."""
        return now is not None and self._is_answered(target_of(now)) and not self._is_answered(target)

    def _is_answered(self, target: Target) -> bool:
        if target not in self._answered:
            self._answered[target] = assignments.answered(target)
        return self._answered[target]


def _step(slot: Slot, now: Assignment | None, wanted: Wanted, servable: _Servable) -> Step:
    if wanted.stays or wanted.refused:
        return Step(slot, now, None, STAYS if wanted.stays else REFUSED, wanted.stays or wanted.refused)
    if (target_of(now) if now else None) == wanted.target:
        return Step(slot, now, wanted.target, STAYS, HAS_IT)
    if wanted.target is None:
        return Step(slot, now, None, MOVES)
    target = servable.get(slot.client, wanted.target)
    if isinstance(target, str):
        return Step(slot, now, wanted.target, REFUSED, target)
    waits = servable.must_wait(now, target)
    why = "as soon as an engine has the version" if waits else ""
    return Step(slot, now, target, WAITS if waits else MOVES, why)


def _not_planned(step: Step, later: set[int]) -> Step:
    """What somebody planned is not dropped in passing: an undo could not bring it back."""
    if step.outcome in (STAYS, REFUSED) or step.slot.pk not in later:
        return step
    why = "a start or an end is planned for it; assign it by itself, or end what is planned first"
    return Step(step.slot, step.now, step.target, REFUSED, why)


# What is wanted ---------------------------------------------------------------------------------------


def as_of(moment: datetime) -> Wants:
    """What each slot had then: the alias where it points there still, otherwise the version, pinned."""

    def wants(slots: list[Slot], _: Running) -> dict[int, Wanted]:
        then = {row.slot_id: row for row in _at([slot.pk for slot in slots], moment)}
        followed = {row.alias_id for row in then.values() if row.alias_id}
        pointed = AliasHistory.objects.select_related("version__base_version").filter(
            Q(valid_to__isnull=True) | Q(valid_to__gt=moment), alias__in=followed, valid_from__lte=moment
        )
        histories = {row.alias_id: row for row in pointed}
        return {slot.pk: _back(then.get(slot.pk), histories) for slot in slots}

    return wants


def _back(row: Assignment | None, histories: dict[int, AliasHistory]) -> Wanted:
    if row is None:
        return Wanted(stays="it had nothing then")
    target = target_of(row)
    if row.alias is None:
        return Wanted(target)
    history = histories.get(row.alias.pk)
    if history is None:
        return Wanted(stays="its alias pointed nowhere then")
    if row.alias.deleted_at is None and row.alias.version_id == history.version_id:
        return Wanted(target)
    return Wanted(Target(row.adapter, None, history.version, target.canary_version, target.canary_percent))


def undone(bulk: BulkMove) -> Wants:
    """What each slot had before; what was moved on since stays where somebody wanted it."""

    def wants(slots: list[Slot], running: Running) -> dict[int, Wanted]:
        related = [f"before__{path}" for path in TARGET]
        items = bulk.items.select_related("move", "before", *related).filter(slot__in=slots)
        return {item.slot_id: _before(item, running.get(item.slot_id)) for item in items}

    return wants


def _before(item: BulkMoveItem, now: Assignment | None) -> Wanted:
    if item.made is None and item.move is not None:
        return Wanted(stays=_of_move(item.move))
    if (now.pk if now else None) != item.made_id:
        return Wanted(stays="it was assigned anew since")
    return Wanted(target_of(item.before) if item.before else None)


def _of_move(move: AssignmentMove) -> str:
    if move.state == PromotionState.WAITING:
        return "its move still waits, and is withdrawn"
    return f"its move never came: {move.outcome}"
