"""Protected aliases under many at once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from django.utils import timezone

from registry.access import SYSTEM, Caller
from registry.choices import Role
from registry.errors import Conflict
from registry.models import (
    Adapter,
    Alias,
    AliasHistory,
    Approval,
    AuditEvent,
    Membership,
    Promotion,
    ServingInstance,
    Team,
    User,
)
from registry.services import aliases, approvals, promotions
from tests.make import make_version
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place


@pytest.fixture
def team(place: Place) -> Team:
    return Team.objects.create(slug="health", name="Health")


def test_an_approval_serves_one_move_when_all_want_it(team: Team) -> None:
    """Eight people move to the approved version and away again; one approval lets one of them do it once."""
    approver, mover = (User.objects.create_user(f"{name}@example.org") for name in ("second", "first"))
    for person in (approver, mover):
        Membership.objects.create(team=team, user=person, role=Role.OWNER)
    versions = [make_version(team) for _ in range(8)]
    adapter = versions[0].adapter
    aliases.move(by=SYSTEM, adapter=adapter, name="production", version=versions[0], reason="")
    aliases.protect(by=SYSTEM, adapter=adapter, name="production", approvals_required=1)
    for version in versions[1:3]:
        by = Caller(user=approver)
        approvals.approve(by=by, adapter=adapter, name="production", version=version)

    def move(number: int) -> int:
        version, moved = versions[1 + number % 2], 0
        for _ in range(4):
            try:
                aliases.move(by=Caller(user=mover), adapter=adapter, name="production", version=version, reason="")
                moved += 1
            except Conflict:
                continue
        return moved

    at_once(move)
    moves = AliasHistory.objects.filter(alias__adapter=adapter).exclude(version=versions[0])
    assert sorted(moves.values_list("version__number", flat=True)) == [2, 3]
    assert not Approval.objects.filter(used_at__isnull=True).exists()


def test_protection_that_comes_while_promotions_flip_lets_none_past(team: Team) -> None:
    """Either the flip was first, or it was refused: never a move without the approvals that were asked for."""
    for turn in range(6):
        old, new = make_version(team, f"a{turn}"), make_version(team, f"a{turn}")
        alias = aliases.move(by=SYSTEM, adapter=old.adapter, name="production", version=old, reason="")
        Promotion.objects.create(alias=alias, version=new, asked_by="system", reason="")
        entry = {"version": new.pk, "address": new.address, "digest": new.manifest_id}
        ServingInstance.objects.create(
            url=f"http://127.0.0.1:{turn}", base_version=new.base_version, loaded=[entry], last_tick=timezone.now()
        )

        def act(number: int, adapter: Adapter = old.adapter) -> None:
            if number % 2:
                aliases.protect(by=SYSTEM, adapter=adapter, name="production", approvals_required=1)
            else:
                promotions.advance()

        at_once(act)
        said = AuditEvent.objects.filter(
            object=aliases.object_of(alias), action__in=["alias.move", "alias.protect"]
        )
        promotion = Promotion.objects.get(alias=alias)
        moved_first = said.order_by("pk").values_list("action", flat=True)[0] == "alias.move"
        assert (promotion.state == "done") == moved_first
        assert (Alias.objects.get(pk=alias.pk).version_id == new.pk) == moved_first
