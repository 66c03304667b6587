"""An act taken back by a second one in the record, and never over what somebody did since."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from registry.access import SYSTEM, Caller
from registry.choices import PromotionState, Role, VersionStatus
from registry.errors import Conflict, NotFound, PreconditionFailed
from registry.models import Adapter, Alias, Assignment, AssignmentMove, AuditEvent, Client, Promotion, Waiver
from registry.selectors import reversals as selectors
from registry.services import (
    aliases,
    assignment_moves,
    assignments,
    clients,
    promotions,
    reversals,
    teams,
    version_states,
    waivers,
)
from registry.services.assignments import Target
from tests.make import make_engine, make_version
from tests.world import World


@pytest.fixture
def alice(world: World, store: object) -> Caller:
    return replace(world.by("alice"), request_id="this-request")


@pytest.fixture
def adapter(world: World, store: object) -> Adapter:
    """With two ready versions; the first is production."""
    first = make_version(world.health)
    make_version(world.health)
    _move(SYSTEM, first.adapter, 1)
    return first.adapter


@pytest.fixture
def client(world: World, adapter: Adapter) -> Client:
    return clients.create(by=SYSTEM, team=world.health, name="clinic", vertical="")


def _move(by: Caller, adapter: Adapter, number: int, name: str = "production", **more: Any) -> Alias | Promotion:
    version = adapter.versions.get(number=number)
    return aliases.move(by=by, adapter=adapter, name=name, version=version, reason="r", **more)


def _assign(by: Caller, client: Client, adapter: Adapter, number: int | None = None, **more: Any) -> Assignment:
    named: dict[str, Any] = {"version": adapter.versions.get(number=number)} if number else {}
    target = Target(adapter, **(named or {"alias": Alias.objects.get(adapter=adapter, name="production")}))
    return assignments.assign(by=by, client=client, slot="default", target=target, reason="r", **more)


def _undo(by: Caller, obj: str) -> reversals.Undone:
    event = selectors.made_by(by, obj)
    assert event is not None
    return reversals.undo(by=by, event=event.pk)


def _number(adapter: Adapter, name: str = "production") -> int | None:
    found = Alias.objects.filter(adapter=adapter, name=name, deleted_at__isnull=True).first()
    return found.version.number if found else None


ALIAS, SLOT = "alias:health/triage@production", "slot:health/clinic/default"


def test_it_moves_an_alias_back_as_a_second_act(alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 2)
    _undo(alice, ALIAS)
    assert _number(adapter) == 1
    acts = AuditEvent.objects.filter(object=ALIAS, actor=alice.name).order_by("pk")
    assert list(acts.values_list("action", "reason")) == [("alias.move", "r"), ("alias.move", "undone")]


def test_it_takes_a_new_alias_away(alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 2, "candidate")
    _undo(alice, "alias:health/triage@candidate")
    assert _number(adapter, "candidate") is None


def test_it_leaves_what_somebody_else_moved_since(world: World, alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 2)
    teams.set_member(by=SYSTEM, team=world.health, email=world.erin.email, role=Role.MAINTAINER)
    for number in (1, 2):  # back and forth: it stands where it stood, and that is Erin's decision now
        _move(world.by("erin"), adapter, number)
    with pytest.raises(PreconditionFailed, match=r"changed since by erin@example\.org"):
        _undo(alice, ALIAS)
    assert _number(adapter) == 2


def test_it_undoes_once(alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 2)
    event = selectors.made_by(alice, ALIAS)
    assert event is not None
    reversals.undo(by=alice, event=event.pk)
    with pytest.raises(PreconditionFailed):
        reversals.undo(by=alice, event=event.pk)


def test_it_knows_only_ones_own_acts(world: World, alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 2)
    event = selectors.made_by(alice, ALIAS)
    assert event is not None
    for who in ("erin", "charlie"):
        with pytest.raises(NotFound):
            reversals.undo(by=world.by(who), event=event.pk)


def test_what_did_nothing_has_no_reverse(alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 1)
    assert selectors.made_by(alice, ALIAS) is None


def test_it_refuses_an_act_that_has_no_reverse(alice: Caller, adapter: Adapter) -> None:
    version_states.archive(by=alice, version=adapter.versions.get(number=2), reason="r")
    version_states.withdraw(by=alice, version=adapter.versions.get(number=2), reason="r")
    last = AuditEvent.objects.latest("pk")
    assert selectors.made_by(alice, last.object) is None
    with pytest.raises(Conflict, match="no reverse act"):
        reversals.undo(by=alice, event=last.pk)


def test_it_cancels_a_promotion_that_waits(alice: Caller, adapter: Adapter, client: Client) -> None:
    _assign(SYSTEM, client, adapter)
    assert isinstance(_move(alice, adapter, 2), Promotion)
    _undo(alice, ALIAS)
    assert (_number(adapter), Promotion.objects.get().state) == (1, PromotionState.CANCELLED)


def test_it_moves_back_where_the_engine_was_quicker(alice: Caller, adapter: Adapter, client: Client) -> None:
    _assign(SYSTEM, client, adapter)
    _move(alice, adapter, 2)
    make_engine(*adapter.versions.all())
    assert promotions.advance() == 1
    assert _number(adapter) == 2
    assert not _undo(alice, ALIAS).waits
    assert _number(adapter) == 1


def test_it_says_when_the_way_back_waits_for_an_engine(alice: Caller, adapter: Adapter, client: Client) -> None:
    _assign(SYSTEM, client, adapter)
    _move(alice, adapter, 2, force=True)
    assert _undo(alice, ALIAS).waits
    assert _number(adapter) == 2


def test_it_gives_a_slot_back_what_it_had_until_when_it_had_it(
    alice: Caller, adapter: Adapter, client: Client
) -> None:
    until = timezone.now() + timedelta(days=9)
    first = _assign(SYSTEM, client, adapter, ends_at=until)
    _assign(alice, client, adapter, 2)
    _undo(alice, SLOT)
    now = Assignment.objects.latest("pk")
    assert (now.alias_id, now.version_id, now.valid_to, now.reason) == (first.alias_id, None, until, "undone")


def test_it_empties_a_slot_that_had_nothing(alice: Caller, adapter: Adapter, client: Client) -> None:
    made = _assign(alice, client, adapter)
    _undo(alice, SLOT)
    made.refresh_from_db()
    assert made.valid_to is not None
    assert AuditEvent.objects.latest("pk").action == "assignment.end"


def test_it_takes_a_plan_back_and_lets_go_on_what_runs(alice: Caller, adapter: Adapter, client: Client) -> None:
    first = _assign(SYSTEM, client, adapter)
    plan = _assign(alice, client, adapter, 2, starts_at=timezone.now() + timedelta(days=2))
    _undo(alice, SLOT)
    plan.refresh_from_db()
    rest = Assignment.objects.latest("pk")
    assert plan.valid_to == plan.valid_from == rest.valid_from
    assert (rest.alias_id, rest.valid_to) == (first.alias_id, None)


def test_it_offers_no_way_back_over_a_plan_that_was_dropped(
    alice: Caller, adapter: Adapter, client: Client
) -> None:
    plan = _assign(SYSTEM, client, adapter, 2, starts_at=timezone.now() + timedelta(days=2))
    _assign(alice, client, adapter, 1)
    assert selectors.made_by(alice, SLOT) is None
    last = AuditEvent.objects.latest("pk")
    assert (last.after or {})["dropped"] == [plan.pk]
    with pytest.raises(Conflict, match="no reverse act"):
        reversals.undo(by=alice, event=last.pk)


@pytest.mark.parametrize("carried_out", [False, True])
def test_it_takes_a_rollback_back_whether_it_waits_or_moved(
    alice: Caller, adapter: Adapter, client: Client, carried_out: bool
) -> None:
    for number in (1, 2):
        _assign(SYSTEM, client, adapter, number)
    make_engine(adapter.versions.get(number=2))
    assert isinstance(assignments.rollback(by=alice, client=client, slot="default", reason="r"), AssignmentMove)
    if carried_out:
        make_engine(*adapter.versions.all())
        assert assignment_moves.advance() == 1
    _undo(alice, SLOT)
    states = {True: PromotionState.DONE, False: PromotionState.CANCELLED}
    assert AssignmentMove.objects.get().state == states[carried_out]
    latest = Assignment.objects.latest("pk")
    assert latest.version is not None
    assert (latest.version.number, latest.valid_to) == (2, None)


@pytest.mark.parametrize("act", [version_states.archive, version_states.quarantine])
def test_it_brings_a_version_back(alice: Caller, adapter: Adapter, act: Any) -> None:
    version = act(by=alice, version=adapter.versions.get(number=2), reason="r")
    _undo(alice, f"adapter:{version.address}")
    version.refresh_from_db()
    assert (version.status, version.status_reason) == (VersionStatus.READY, "undone")


def test_it_ends_a_waiver(alice: Caller, adapter: Adapter) -> None:
    version, until = adapter.versions.get(number=1), timezone.now() + timedelta(days=2)
    waivers.waive(by=alice, version=version, reason="r", until=until)
    _undo(alice, f"adapter:{version.address}")
    assert Waiver.objects.get().until <= timezone.now()


def test_who_may_not_do_it_any_more_may_not_undo_it(world: World, alice: Caller, adapter: Adapter) -> None:
    _move(alice, adapter, 2)
    event = selectors.made_by(alice, ALIAS)
    assert event is not None
    world.alice.memberships.update(role=Role.VIEWER)
    with pytest.raises(Exception, match="needs the role maintainer"):
        reversals.undo(by=alice, event=event.pk)
    assert _number(adapter) == 2
