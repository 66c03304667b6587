"""What the feeder does of its own accord."""

from __future__ import annotations

from registry.access import SYSTEM
from registry.services import destruction, version_states
from tests.make import make_dataset_version
from training import feeder


def test_it_destroys_what_a_withdrawal_left_behind(world, store):
    version = make_dataset_version(world.health)
    # The bytes go after the commit, which a test's transaction never comes to: as if the process had died there.
    version_states.withdraw_dataset(by=SYSTEM, version=version, reason="asked to")
    assert destruction.remaining() == [version.sha256]
    destroy = next(part for part in feeder.PARTS if getattr(part, "act", None) is feeder.destroy)
    destroy()
    assert destruction.remaining() == []
