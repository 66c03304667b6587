"""What the feeder does of its own accord."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from registry.access import SYSTEM
from registry.models import AuditSeal, Client, Receipt, UsageHour, Worker
from registry.selectors import overview
from registry.selectors.anchors import anchored
from registry.services import destruction, version_states
from tests.make import make_dataset_version, make_version
from training import feeder


def test_it_destroys_what_a_withdrawal_left_behind(world, store):
    version = make_dataset_version(world.health)
    # The bytes go after the commit, which a test's transaction never comes to: as if the process had died there.
    version_states.withdraw_dataset(by=SYSTEM, version=version, reason="asked to")
    assert destruction.remaining() == [version.sha256]
    destroy = next(part for part in feeder.PARTS if getattr(part, "act", None) is feeder.destroy)
    destroy()
    assert destruction.remaining() == []


def test_it_counts_receipts_before_it_forgets_them(world, store):
    version = make_version(world.health)
    client = Client.objects.get(team=world.health, builtin=True)
    old = timezone.now() - timedelta(days=500)
    Receipt.objects.create(
        request="r", at=old, admitted_at=old, client=client, version=version, base_version=version.base_version,
        digest=version.manifest_id,
    )  # fmt: skip
    forget = next(part for part in feeder.PARTS if getattr(part, "act", None) is feeder.receipts.forget)
    forget.act()
    assert Receipt.objects.count() == 1
    assert feeder.PARTS.index(feeder.usage.count) < feeder.PARTS.index(forget)
    feeder.usage.count()
    forget.act()
    assert (Receipt.objects.count(), UsageHour.objects.get().requests) == (0, 1)


def test_it_anchors_how_far_the_record_goes(world, store):
    feeder.audit.seal()
    next(part for part in feeder.PARTS if getattr(part, "act", None) is feeder.anchors.anchor)()
    assert list(anchored()) == [AuditSeal.objects.count()]


def test_a_worker_that_ends_as_asked_is_not_missed(world):
    feeder.tick()
    Worker.objects.update(last_tick=timezone.now() - timedelta(minutes=5))
    assert overview.away() == [f"worker {feeder.WORKER}"]
    feeder.leave()
    assert overview.away() == []
