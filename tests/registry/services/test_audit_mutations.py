"""What the owner of the database may do to the record once the triggers are gone, and that it is found.

A chain of 60 events with a signed head at each twentieth. Each mutation is made and undone in a savepoint.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from registry import storage
from registry.models import AuditCheckpoint, AuditEvent, AuditHead, AuditSeal
from registry.selectors.anchors import anchored, key_of
from registry.services import anchors, audit

LENGTH, EVERY = 60, 20
Mutation = tuple[str, int, Callable[[], object]]  # what it is, where it shows first, how it is done
DICE = random.Random(4)


@pytest.fixture
def chain(world, store):
    """Only these 60 events, sealed and signed; the triggers are dropped, since an owner would drop them too."""
    drop_triggers()
    for model in (AuditHead, AuditSeal, AuditEvent):
        model.objects.all().delete()
    for number in range(LENGTH):
        with transaction.atomic():
            audit.record(
                world.by("alice"), "client.create", f"client:health/c{number}", team=world.health,
                before={"n": number}, after={"n": number + 1}, reason=f"because {number}",
            )  # fmt: skip
        if (number + 1) % EVERY == 0:
            audit.seal()
            audit.sign_head()
    assert audit.verify().ok
    return world


def drop_triggers():
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # a table with checks to come can't be altered
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        for model in (AuditEvent, AuditSeal, AuditHead, AuditCheckpoint):
            table = model._meta.db_table
            if connection.vendor == "postgresql":
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            else:
                rows = cursor.execute(
                    "SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name=%s", [table]
                )
                for (name,) in rows.fetchall():
                    cursor.execute(f"DROP TRIGGER {name}")


def places(count: int, low: int = 1, high: int = LENGTH) -> list[int]:
    return sorted(DICE.sample(range(low, high + 1), count))


def edits_of_events(world: Any) -> Iterator[Mutation]:
    values = {
        "at": timezone.now() - timedelta(days=1), "actor": "mallory", "on_behalf_of": "mallory", "token": "x" * 8,
        "request_id": "r", "action": "client.delete", "object": "client:health/x", "team": world.finance,
        "before": {"n": -1}, "after": None, "reason": "", "id": F("id") + 100_000,
    }  # fmt: skip
    assert set(values) == {field.name for field in AuditEvent._meta.concrete_fields}
    for name, value in values.items():
        for place in places(7):
            yield f"event.{name}", place, lambda p=place, n=name, v=value: event_at(p).update(**{n: v})


def edits_of_seals() -> Iterator[Mutation]:
    values = {
        "position": 100_000, "event": 100_000, "previous": "1" * 64, "hash": "1" * 64, "blind": "1" * 64,
    }  # fmt: skip
    assert set(values) == {field.name for field in AuditSeal._meta.concrete_fields}
    for name, value in values.items():
        for place in places(6):
            yield f"seal.{name}", place, lambda p=place, n=name, v=value: seal_at(p).update(**{n: v})


def edits_of_heads() -> Iterator[Mutation]:
    values = {
        "position": F("position") + 1, "hash": "1" * 64, "key_id": "k9", "signature": "AAAA",
        "signed_at": timezone.now(),
    }  # fmt: skip
    assert set(values) == {field.name for field in AuditHead._meta.concrete_fields} - {"id"}
    for name, value in values.items():
        for place in range(EVERY, LENGTH + 1, EVERY):
            shows = place + 1 if name == "position" else place
            heads = AuditHead.objects.filter(position=place)
            yield f"head.{name}", shows, lambda h=heads, n=name, v=value: h.update(**{n: v})


def deletions() -> Iterator[Mutation]:
    for place in places(10):
        yield "delete an event", place, lambda p=place: event_at(p)._raw_delete("default")
        yield "delete a seal", place, lambda p=place: seal_at(p)._raw_delete("default")
    for place in places(10, high=LENGTH - 1):
        yield "delete both", place, lambda p=place: take_out(p)
        yield "delete both and close the gap", place, lambda p=place: (take_out(p), shift(p + 1, -1))


def reorderings() -> Iterator[Mutation]:
    for place in places(10, high=LENGTH - 1):
        yield "swap two events", place, lambda p=place: swap_events(p, p + 1)
    for place in places(10, high=30):
        yield "swap two positions", place, lambda p=place: swap_positions(p, 61 - p)


def insertions(world: Any) -> Iterator[Mutation]:
    for place in places(10):
        yield "insert", place + 1, lambda p=place: insert(world, p)


def truncations() -> Iterator[Mutation]:
    for place in places(10, high=LENGTH - 1):
        yield "truncate", place + 1, lambda p=place: cut(p)
    for place in places(8, high=LENGTH - 1):
        yield "truncate and seal anew", following_head(place), lambda p=place: reseal(p)


def event_at(place: int) -> Any:
    return AuditEvent.objects.filter(pk=AuditSeal.objects.get(position=place).event_id)


def seal_at(place: int) -> Any:
    return AuditSeal.objects.filter(position=place)


def take_out(place: int) -> None:
    event = event_at(place)
    seal_at(place)._raw_delete("default")
    event._raw_delete("default")


def shift(first: int, by: int) -> None:
    """Renumber the seals from `first` on; far away and back, since positions are unique."""
    rows = AuditSeal.objects.filter(position__gte=first)
    rows.update(position=F("position") + 1_000_000)
    AuditSeal.objects.filter(position__gte=1_000_000).update(position=F("position") - 1_000_000 + by)


def swap_events(left: int, right: int) -> None:
    one, other = seal_at(left).get().event_id, seal_at(right).get().event_id
    seal_at(left).update(event=100_000)
    seal_at(right).update(event=one)
    seal_at(left).update(event=other)


def swap_positions(left: int, right: int) -> None:
    seal_at(left).update(position=100_000)
    seal_at(right).update(position=left)
    seal_at(100_000).update(position=right)


def insert(world: Any, place: int) -> None:
    """An event that never was, hashed as it should be; what follows is only renumbered."""
    event = audit.record(world.by("alice"), "client.create", "client:health/ghost", team=world.health)
    shift(place, 1)
    previous = seal_at(place - 1).get().hash if place > 1 else audit.GENESIS
    digest = audit.link(place, previous, audit.content_of(event, "2" * 64))
    AuditSeal.objects.create(position=place, event=event, previous=previous, blind="2" * 64, hash=digest)


def cut(place: int) -> None:
    late = AuditSeal.objects.filter(position__gt=place)
    events = list(late.values_list("event_id", flat=True))
    late._raw_delete("default")
    AuditEvent.objects.filter(pk__in=events)._raw_delete("default")


def reseal(place: int) -> None:
    """Change an event and chain all after it anew, as one who has the code but not the keys."""
    event_at(place).update(actor="mallory")
    AuditSeal.objects.filter(position__gte=place)._raw_delete("default")
    audit.seal()


def following_head(place: int) -> int:
    return -(-place // EVERY) * EVERY


def rewrite() -> None:
    """All of history, with the server's own code and keys: nothing in the database gives it away."""
    ends = list(AuditHead.objects.order_by("position").values_list("position", "signed_at"))
    AuditHead.objects.all()._raw_delete("default")
    reseal(5)
    for position, signed_at in ends:
        digest = seal_at(position).get().hash
        head = AuditHead(position=position, hash=digest, signed_at=signed_at)
        head.key_id, head.signature = audit.sign(audit._statement(head))
        head.save()


def test_it_finds_200_mutations_and_names_where(chain):
    made = [
        *edits_of_events(chain), *edits_of_seals(), *edits_of_heads(), *deletions(), *reorderings(),
        *insertions(chain), *truncations(),
    ]  # fmt: skip
    assert len(made) >= 200
    missed = []
    for what, place, mutate in made:
        with transaction.atomic():
            mutate()
            verdict = audit.verify()
            if verdict.ok or verdict.first_bad_seq != place:
                missed.append((what, place, verdict))
            transaction.set_rollback(True)
    assert missed == []
    assert audit.verify().ok


def test_a_rewrite_with_our_own_keys_is_shown_by_the_heads_that_were_anchored(chain):
    assert anchors.anchor() == 3
    assert audit.verify().ok
    rewrite()
    verdict = audit.verify()
    assert (verdict.ok, verdict.first_bad_seq) == (False, EVERY)
    assert "anchored" in verdict.problem


def test_without_anchors_such_a_rewrite_would_hold(chain):
    rewrite()
    assert audit.verify().ok


def test_anchoring_the_rewritten_heads_takes_nothing_back(chain):
    anchors.anchor()
    rewrite()
    anchors.anchor()
    assert audit.verify().first_bad_seq == EVERY


def test_a_record_that_was_cut_with_its_heads_is_shorter_than_what_was_anchored(chain):
    anchors.anchor()
    AuditHead.objects.filter(position__gt=EVERY)._raw_delete("default")
    cut(30)
    assert audit.verify().first_bad_seq == 31


def test_a_head_that_was_anchored_can_not_be_deleted_unseen(chain):
    anchors.anchor()
    AuditHead.objects.filter(position=2 * EVERY)._raw_delete("default")
    assert audit.verify().first_bad_seq == 2 * EVERY


def test_it_anchors_each_head_once_and_what_an_outage_left(chain):
    assert [anchors.anchor(), anchors.anchor()] == [3, 0]
    assert sorted(anchored()) == [20, 40, 60]
    storage.store().delete(key_of(AuditHead.objects.get(position=60)))
    assert anchors.anchor() == 1
