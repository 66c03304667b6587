"""The record is let go of behind a checkpoint, on SQLite and PostgreSQL; what remains verifies, whatever died."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from client import proofs
from registry.access import SYSTEM
from registry.errors import Conflict
from registry.models import AuditCheckpoint, AuditEvent, AuditHead, AuditSeal, Team
from registry.selectors import anchors as selectors
from registry.selectors import assignments as assigned
from registry.services import anchors, assignments, audit, audit_exports, clients, retention
from tests.make import make_version
from tests.registry.services.test_audit_mutations import cut, drop_triggers, event_at, take_out
from tests.stack.fixtures import Place

OLD, NEW = 30, 10
LET_GO_BY_NOBODY = "the beginning is gone, and no anchored checkpoint lets it go"


@pytest.fixture
def chain(place: Place, settings: Any) -> None:
    """Thirty events of a month ago, with a head at the twentieth; ten of yesterday, with a head at their end."""
    settings.AUDIT_DAYS = 7
    happen(20, days=30)
    seal_and_anchor()
    happen(OLD - 20, days=30)
    happen(NEW, days=1)
    seal_and_anchor()


def happen(count: int, *, days: int) -> None:
    at = timezone.now() - timedelta(days=days)
    with transaction.atomic():
        for number in range(count):
            audit.record(SYSTEM, "tried", f"thing:{number}", at=at)


def seal_and_anchor() -> None:
    audit.seal()
    anchors.anchor()


def positions() -> list[int]:
    return list(AuditSeal.objects.order_by("position").values_list("position", flat=True))


def until() -> datetime:
    return timezone.now() - timedelta(days=7)


def begun(monkeypatch: pytest.MonkeyPatch, reach: int) -> None:
    """A round that died when this much was deleted."""
    retention.checkpoint(until())
    anchors.anchor_checkpoints()
    with monkeypatch.context() as patch:
        patch.setattr(retention, "_left", lambda _: AuditSeal.objects.filter(position__lte=reach))
        assert retention._delete(until()) == reach


def test_what_is_old_goes_and_the_rest_verifies(chain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 7)
    assert retention.forget() == OLD
    assert positions() == list(range(OLD + 1, OLD + NEW + 1))
    assert list(AuditHead.objects.values_list("position", flat=True)) == [OLD + NEW]
    assert set(selectors.anchored(selectors.CHECKPOINTS)) == {OLD}
    verdict = audit.verify()
    assert (verdict.ok, verdict.sealed, verdict.begins_after) == (True, NEW, OLD), verdict
    assert verdict.kept_since == AuditCheckpoint.objects.get().until


def test_it_stands_in_the_record_and_the_next_round_has_nothing_to_do(chain: None) -> None:
    retention.forget()
    seal_and_anchor()
    event = AuditEvent.objects.get(action="audit.forget")
    assert (event.after or {})["checkpoint"] == OLD
    assert retention.forget() == 0
    assert (AuditCheckpoint.objects.count(), audit.verify().ok) == (1, True)


def test_it_keeps_all_where_nothing_says_for_how_long(chain: None, settings: Any) -> None:
    settings.AUDIT_DAYS = 0
    assert retention.forget() == 0
    assert len(positions()) == OLD + NEW


def test_what_is_old_stays_behind_something_newer(chain: None) -> None:
    happen(5, days=30)
    audit.seal()
    retention.forget()
    assert positions() == list(range(OLD + 1, OLD + NEW + 6))


def test_where_all_is_gone_the_chain_goes_on_from_the_checkpoint(place: Place, settings: Any) -> None:
    settings.AUDIT_DAYS = 7
    happen(5, days=30)
    seal_and_anchor()
    assert (retention.forget(), positions(), audit.verify().ok) == (5, [], True)
    seal_and_anchor()
    assert positions() == [6]
    assert audit.verify().ok


def test_a_death_after_the_checkpoint_is_made_good_by_the_next_round(chain: None, settings: Any) -> None:
    retention.checkpoint(until())
    assert (audit.verify().ok, audit.verify().sealed) == (True, OLD + NEW)
    settings.AUDIT_DAYS = 0  # whoever wishes for all of it from now on keeps what is left
    assert (retention.forget(), audit.verify().sealed) == (0, OLD + NEW)
    settings.AUDIT_DAYS = 7
    assert retention.forget() == OLD
    assert (audit.verify().ok, set(selectors.anchored(selectors.CHECKPOINTS))) == (True, {OLD})


@pytest.mark.parametrize("reach", [7, 20, OLD])
def test_a_death_in_the_middle_is_made_good_by_the_next_round(
    chain: None, monkeypatch: pytest.MonkeyPatch, reach: int
) -> None:
    begun(monkeypatch, reach)
    verdict = audit.verify()
    assert (verdict.ok, verdict.sealed) == (True, OLD + NEW - reach), verdict
    assert retention.forget() == OLD - reach
    assert audit.verify().ok


def test_what_was_changed_before_it_was_deleted_is_found(chain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(monkeypatch, 7)
    drop_triggers()
    event_at(12).update(actor="mallory")
    assert audit.verify().first_bad_seq == 12


def test_nothing_of_a_record_that_does_not_hold_goes(chain: None) -> None:
    drop_triggers()
    event_at(35).update(actor="mallory")
    with pytest.raises(Conflict, match="position 35"):
        retention.forget()
    assert (len(positions()), AuditCheckpoint.objects.count()) == (OLD + NEW, 0)


def test_the_database_deletes_nothing_without_a_checkpoint_or_beyond_it(chain: None) -> None:
    refused(lambda: take_out(1))
    retention.checkpoint(until())
    for act in (
        lambda: event_at(OLD + 1)._raw_delete("default"),
        lambda: AuditSeal.objects.filter(position=OLD + 1).delete(),
        lambda: AuditHead.objects.filter(position=OLD + NEW).delete(),
        lambda: AuditCheckpoint.objects.all().delete(),
        lambda: AuditCheckpoint.objects.update(until=timezone.now()),
        lambda: forge(OLD + 5, "1" * 64),
    ):
        refused(act)
    happen(1, days=30)
    refused(lambda: AuditEvent.objects.filter(seal=None).delete())


def refused(act: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        act()


def forge(position: int, digest: str) -> None:
    """As one who has the database and no key."""
    AuditCheckpoint.objects.create(
        position=position, hash=digest, until=timezone.now(), signed_at=timezone.now(),
        key_id=next(iter(audit.public_keys())), signature="A" * 86 + "==",
    )  # fmt: skip


def prune(last: int) -> None:
    for position in [one for one in positions() if one <= last]:
        take_out(position)
    AuditHead.objects.filter(position__lte=last)._raw_delete("default")


def test_a_prune_without_a_checkpoint_is_found(chain: None) -> None:
    drop_triggers()
    prune(10)
    verdict = audit.verify()
    assert (verdict.ok, verdict.first_bad_seq, verdict.problem) == (False, 1, LET_GO_BY_NOBODY)


def test_a_prune_beyond_the_checkpoint_is_found(chain: None) -> None:
    retention.forget()
    drop_triggers()
    prune(OLD + 3)
    verdict = audit.verify()
    assert (verdict.first_bad_seq, verdict.problem) == (OLD + 1, LET_GO_BY_NOBODY)


def test_a_forged_checkpoint_is_found(chain: None) -> None:
    drop_triggers()
    forge(25, AuditSeal.objects.get(position=25).hash)
    prune(25)
    verdict = audit.verify()
    assert (verdict.ok, verdict.first_bad_seq) == (False, 25)
    assert verdict.problem == "the signature of the checkpoint does not hold"


def test_a_checkpoint_that_was_signed_by_a_key_of_somebody_else_is_found(chain: None) -> None:
    retention.forget()
    drop_triggers()
    AuditCheckpoint.objects.update(key_id="k9")
    assert "k9" in audit.verify().problem


def test_a_checkpoint_that_was_moved_on_is_found(chain: None) -> None:
    retention.forget()
    drop_triggers()
    seal = AuditSeal.objects.get(position=OLD + 2)
    AuditCheckpoint.objects.update(position=OLD + 2, hash=seal.hash)
    prune(OLD + 2)
    assert (audit.verify().ok, audit.verify().first_bad_seq) == (False, OLD + 2)


def test_a_checkpoint_with_our_own_keys_lets_nothing_go_that_was_not_anchored(chain: None) -> None:
    newest = AuditSeal.objects.get(position=OLD + NEW)
    audit.sign_checkpoint(newest, until())
    drop_triggers()
    prune(OLD + NEW)
    verdict = audit.verify()
    assert (verdict.ok, verdict.first_bad_seq, verdict.problem) == (False, 1, LET_GO_BY_NOBODY)


def test_a_checkpoint_with_our_own_keys_has_us_delete_nothing_that_is_new(chain: None) -> None:
    audit.sign_checkpoint(AuditSeal.objects.get(position=OLD + NEW), until())
    assert (retention.forget(), positions()[0]) == (OLD, OLD + 1)


def test_a_checkpoint_that_was_taken_away_is_missed(chain: None) -> None:
    retention.forget()
    drop_triggers()
    AuditCheckpoint.objects.all()._raw_delete("default")
    assert audit.verify().problem == "the checkpoint that was anchored here is gone"


def test_a_checkpoint_with_our_own_keys_contradicts_what_was_anchored(chain: None) -> None:
    drop_triggers()
    seal = AuditSeal.objects.get(position=20)
    seal.hash = "1" * 64
    audit.sign_checkpoint(seal, until())
    prune(20)
    assert "an anchored head says otherwise" in audit.verify().problem


def test_a_record_that_was_cut_behind_its_checkpoint_is_found(chain: None) -> None:
    retention.checkpoint(until())
    drop_triggers()
    cut(OLD - 5)
    AuditHead.objects.filter(position__gt=OLD - 5)._raw_delete("default")
    assert (audit.verify().ok, audit.verify().first_bad_seq) == (False, OLD - 4)


def exported() -> list[str]:
    return list(audit_exports.export(by=SYSTEM, everything=True))


def verified(folder: Path, lines: list[str]) -> dict[str, Any]:
    path = folder / "audit.ndjson"
    path.write_text("".join(f"{line}\n" for line in lines))
    return proofs.verify(path, audit.public_keys())


def test_an_export_begins_with_the_checkpoint(chain: None, tmp_path: Path) -> None:
    retention.forget()
    lines = exported()
    assert json.loads(lines[1])["kind"] == "checkpoint"
    found = verified(tmp_path, lines)
    assert (found["begins_after_checkpoint"], found["first_seq"]) == (OLD, OLD + 1)


@pytest.mark.parametrize(
    "change", [{"position": OLD - 1}, {"hash": "1" * 64}, {"until": datetime(2001, 1, 1, tzinfo=UTC).isoformat()}]
)
def test_an_exported_checkpoint_that_was_edited_is_found(
    chain: None, tmp_path: Path, change: dict[str, object]
) -> None:
    retention.forget()
    lines = exported()
    lines[1] = audit.canonical({**json.loads(lines[1]), **change}).decode()
    with pytest.raises(proofs.Broken, match="line 2: the signature does not hold"):
        verified(tmp_path, lines)


def test_who_had_what_is_answered_without_the_event(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    team = Team.objects.create(slug="health", name="Health")
    version = make_version(team)
    client = clients.create(by=SYSTEM, team=team, name="ward", vertical="")
    target = assignments.Target(adapter=version.adapter, version=version)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    seal_and_anchor()
    assert assigned.resolve(SYSTEM, client.address, "default").audit_seq is not None
    monkeypatch.setattr(retention, "_until", timezone.now)
    retention.forget()
    found = assigned.resolve(SYSTEM, client.address, "default")
    assert (found.shares[0].version, found.audit_seq) == (version, None)
