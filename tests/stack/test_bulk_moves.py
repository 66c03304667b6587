"""Bulk moves beside each other, on SQLite and on PostgreSQL: each is whole, and each slot has one history."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from registry.access import SYSTEM
from registry.errors import Conflict
from registry.models import Alias, Assignment, BulkMove, BulkMoveItem, Client, Team
from registry.services import aliases, assignments, bulk_moves, clients
from registry.services.assignments import Target
from registry.services.bulk_plans import Filter
from tests.make import make_version
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place

CLIENTS = 5


@pytest.fixture
def team(place: Place) -> Team:
    team = Team.objects.create(slug="health", name="Health")
    for number in range(CLIENTS):
        clients.create(by=SYSTEM, team=team, name=f"client-{number}", vertical="")
    return team


def had() -> set[int | None]:
    return set(Assignment.objects.filter(valid_to__isnull=True).values_list("version", flat=True))


def gently(act: Callable[[], object]) -> bool:
    try:
        act()
    except Conflict:
        return False
    return True


def test_everyone_has_the_same_when_all_move_everyone(team: Team) -> None:
    targets = [Target(version.adapter, version=version) for version in (make_version(team) for _ in range(8))]

    def move(number: int) -> bool:
        wish: dict[str, Any] = {
            "by": SYSTEM,
            "team": team,
            "narrowed": Filter(),
            "target": targets[number],
            "reason": "r",
        }
        return gently(lambda: bulk_moves.assign(**wish))

    assert any(at_once(move))
    assert len(had()) == 1
    assert BulkMoveItem.objects.count() == BulkMove.objects.count() * CLIENTS
    for client in Client.objects.all():
        rows = list(Assignment.objects.filter(slot__client=client).order_by("valid_from", "pk"))
        assert all(row.valid_to and row.valid_to <= after.valid_from for row, after in pairwise(rows))


def test_a_bulk_move_is_undone_once_when_all_undo_it(team: Team) -> None:
    first, second = make_version(team), make_version(team)
    for version in (first, second):
        target = Target(version.adapter, version=version)
        bulk_moves.assign(by=SYSTEM, team=team, narrowed=Filter(), target=target, reason="r")
    made = BulkMove.objects.latest("pk")
    undone = at_once(lambda _: gently(lambda: bulk_moves.undo(by=SYSTEM, bulk=made, reason="r")))
    assert (undone.count(True), had()) == (1, {first.pk})


def test_everyone_goes_back_beside_moves_of_the_alias(team: Team) -> None:
    versions = [make_version(team) for _ in range(2)]
    adapter = versions[0].adapter
    aliases.move(by=SYSTEM, adapter=adapter, name="production", version=versions[0], reason="")
    target = Target(adapter, alias=Alias.objects.get())
    for client in Client.objects.select_related("team"):
        assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="r")
    then = timezone.now()
    move: dict[str, Any] = {
        "by": SYSTEM,
        "adapter": adapter,
        "name": "production",
        "version": versions[1],
        "force": True,
    }
    aliases.move(**move, reason="")
    wish: dict[str, Any] = {"by": SYSTEM, "team": team, "narrowed": Filter(), "at": then, "reason": "r"}
    back = at_once(lambda _: gently(lambda: bulk_moves.restore(**wish)))
    assert (back.count(True), had()) == (1, {versions[0].pk})
