"""Sweeping and scrubbing as jobs."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.choices import JobState, VersionStatus
from registry.services import upkeep
from registry.storage import artifact_key, store
from tests.make import make_manifest, make_version

pytestmark = pytest.mark.usefixtures("db")


def test_a_sweep_says_what_went(run):
    digest = make_manifest({"a": b"nobody names this"}).files["a"]["sha256"]
    job = run(upkeep.sweep(by=SYSTEM, grace_seconds=0))
    assert (job.state, job.result["digests"]) == (JobState.SUCCEEDED, [digest])
    assert store().size(artifact_key(digest)) is None


def test_a_dry_run_says_it_and_does_nothing(run):
    digest = make_manifest({"a": b"nobody names this"}).files["a"]["sha256"]
    job = run(upkeep.sweep(by=SYSTEM, dry_run=True, grace_seconds=0))
    assert (job.result["dry_run"], job.result["digests"]) == (True, [digest])
    assert store().size(artifact_key(digest)) is not None


def test_a_scrub_quarantines_what_is_damaged(run, world):
    version = make_version(world.health)
    store().delete(artifact_key(version.manifest.files["adapter_model.safetensors"]["sha256"]))
    job = run(upkeep.scrub(by=SYSTEM))
    version.refresh_from_db()
    assert (job.state, job.result["damaged"]) == (JobState.SUCCEEDED, 1)
    assert version.status == VersionStatus.QUARANTINED
