"""What receipts add up to: each counted once, however late, and kept when they are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from registry.models import Client, Receipt, UsageHour
from registry.services import receipts, usage
from tests.make import make_version

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def version(world, store):
    return make_version(world.health)


def line(answered, request, at=NOON, **fields):
    """As a gateway spools it."""
    client = Client.objects.get(team=answered.adapter.team, builtin=True)
    return {
        "request": request, "at": at.isoformat(), "admitted_at": at.isoformat(), "client": client.pk,
        "slot": "default", "assignment": None, "version": answered.pk, "base_version": answered.base_version_id,
        "digest": answered.manifest_id, "prompt_tokens": 3, "completion_tokens": 4, "milliseconds": 1,
        "outcome": "completed", **fields,
    }  # fmt: skip


def sums():
    names = ("requests", "prompt_tokens", "completion_tokens")
    return list(UsageHour.objects.order_by("hour", "pk").values_list(*names))


def test_it_adds_up_by_the_hour(version, settings):
    settings.RECEIPT_DAYS = 0
    later = [NOON + timedelta(minutes=n) for n in (1, 59, 60)]
    receipts.ingest(lines=[line(version, str(at), at) for at in later])
    assert usage.count() == 3
    assert sums() == [(2, 6, 8), (1, 3, 4)]
    assert list(UsageHour.objects.values_list("hour", flat=True)) == [NOON, NOON + timedelta(hours=1)]


def test_it_keeps_apart_what_answered(version, settings):
    settings.RECEIPT_DAYS = 0
    other, bare = make_version(version.adapter.team), {"version": None}
    lines = [
        line(version, "a"),
        line(other, "b"),
        line(version, "c", slot="night"),
        line(version, "d", **bare),
    ]
    receipts.ingest(lines=[*lines, line(version, "e", **bare)])
    usage.count()
    assert sorted(row[0] for row in sums()) == [1, 1, 1, 2]


def test_it_counts_a_late_receipt_once(version, settings):
    settings.RECEIPT_DAYS = 0
    for lines in (["a"], ["a", "late"], ["late"]):
        receipts.ingest(lines=[line(version, request) for request in lines])
        usage.count()
        usage.count()
    assert sums() == [(2, 6, 8)]


def test_it_goes_on_where_a_batch_ended(version, settings):
    settings.RECEIPT_DAYS = 0
    receipts.ingest(lines=[line(version, str(n)) for n in range(5)])
    assert [usage.count(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert sums() == [(5, 15, 20)]


def test_what_was_cut_off_is_counted_afterwards_and_once(version, settings, monkeypatch):
    settings.RECEIPT_DAYS = 0
    receipts.ingest(lines=[line(version, "a"), line(version, "b", slot="night")])
    whole = usage._added_up
    monkeypatch.setattr(usage, "_added_up", lambda rows: {**whole(rows), "no place": {}})
    with pytest.raises(AttributeError):
        usage.count()
    assert sums() == []
    monkeypatch.undo()
    assert (usage.count(), usage.count()) == (2, 0)
    assert sums() == [(1, 3, 4), (1, 3, 4)]


def test_it_forgets_only_what_was_counted_and_keeps_the_sums(version, settings):
    now = timezone.now()
    receipts.ingest(lines=[line(version, "new", now), line(version, "old", now - timedelta(days=9))])
    settings.RECEIPT_DAYS = 7
    assert receipts.forget() == 0
    usage.count()
    assert receipts.forget() == 1
    assert list(Receipt.objects.values_list("request", flat=True)) == ["new"]
    assert sums() == [(1, 3, 4), (1, 3, 4)]


def test_it_refuses_what_may_have_been_forgotten(version, settings):
    settings.RECEIPT_DAYS = 7
    old = line(version, "old", timezone.now() - timedelta(days=8))
    assert receipts.ingest(lines=[old]) == [old]


def test_zero_days_keep_all(version, settings):
    settings.RECEIPT_DAYS = 0
    receipts.ingest(lines=[line(version, "a")])
    usage.count()
    assert receipts.forget() == 0
