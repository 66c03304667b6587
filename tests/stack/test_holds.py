"""While a legal hold is open nothing goes that it covers, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.models import AuditEvent, AuditSeal, Client, LegalHold, Receipt, Team
from registry.services import anchors, audit, clients, holds, receipts, retention
from tests.make import make_base_version
from tests.stack.fixtures import Place


@pytest.fixture
def teams(place: Place, settings: Any) -> tuple[Team, Team]:
    """Ten old events, five of finance and then five of health, and a receipt of a client of each."""
    settings.AUDIT_DAYS = settings.RECEIPT_DAYS = 7
    made = [Team.objects.create(slug=slug, name=slug) for slug in ("finance", "health")]
    at = timezone.now() - timedelta(days=30)
    base = make_base_version()
    with transaction.atomic():
        for team in made:
            for number in range(5):
                audit.record(SYSTEM, "tried", f"thing:{number}", team=team, at=at)
    audit.seal()
    anchors.anchor()
    for team in made:
        client = clients.create(by=SYSTEM, team=team, name="ward", vertical="")
        Receipt.objects.create(
            request=team.slug,
            at=at,
            admitted_at=at,
            client=client,
            base_version=base,
            digest="1" * 64,
            counted=True,
        )
    return made[0], made[1]


def first() -> int:
    return AuditSeal.objects.earliest("position").position


def lift_all() -> None:
    for row in LegalHold.objects.open():
        holds.lift(by=SYSTEM, hold=row, reason="over")


def test_what_goes_ends_before_the_first_event_that_is_held(teams: tuple[Team, Team]) -> None:
    held = AuditSeal.objects.filter(event__team=teams[1]).earliest("position").position
    holds.place(by=SYSTEM, team=teams[1], reason="case 7")
    retention.forget()
    assert (first(), audit.verify().ok) == (held, True)
    lift_all()
    retention.forget()
    audit.seal()
    assert not AuditEvent.objects.filter(action="tried").exists()
    assert audit.verify().ok


def test_one_of_everything_keeps_everything(teams: tuple[Team, Team]) -> None:
    holds.place(by=SYSTEM, team=None, reason="case 7")
    assert (retention.forget(), receipts.forget()) == (0, 0)
    lift_all()
    assert (retention.forget() >= 10, receipts.forget()) == (True, 2)


def test_one_that_is_placed_behind_a_checkpoint_keeps_what_is_left(teams: tuple[Team, Team]) -> None:
    held = AuditSeal.objects.filter(event__team=teams[1]).earliest("position").position
    retention.checkpoint(timezone.now() - timedelta(days=7))
    holds.place(by=SYSTEM, team=teams[1], reason="case 7")
    retention.forget()
    assert (first(), audit.verify().ok) == (held, True)


def test_receipts_of_other_teams_go(teams: tuple[Team, Team]) -> None:
    holds.place(by=SYSTEM, team=teams[1], reason="case 7")
    assert receipts.forget() == 1
    assert Receipt.objects.get().client.team == teams[1]
    lift_all()
    assert receipts.forget() == 1


def test_the_database_deletes_nothing_that_is_held(teams: tuple[Team, Team]) -> None:
    row = holds.place(by=SYSTEM, team=teams[1], reason="case 7")
    retention.checkpoint(timezone.now() - timedelta(days=7))
    mine = AuditEvent.objects.filter(action="tried", team=teams[1])
    for act in (
        mine.delete,
        lambda: Receipt.objects.filter(client__in=Client.objects.filter(team=teams[1])).delete(),
        lambda: LegalHold.objects.all().delete(),
        lambda: LegalHold.objects.update(team=None),
    ):
        with pytest.raises(IntegrityError, match="hold"), transaction.atomic():
            act()
    holds.lift(by=SYSTEM, hold=row, reason="over")
    with pytest.raises(IntegrityError, match="once"), transaction.atomic():
        LegalHold.objects.update(lifted_at=None)
