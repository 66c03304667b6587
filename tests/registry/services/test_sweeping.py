"""What nothing holds goes, and nothing else does."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.db import transaction

from registry.access import SYSTEM
from registry.choices import ArtifactState, JobKind
from registry.models import Artifact, AuditEvent, JobCheckpoint
from registry.services import artifacts, destruction, jobs, sweeping, version_states
from registry.storage import artifact_key, store
from tests.make import make_dataset_version, make_manifest, make_version

pytestmark = pytest.mark.usefixtures("store", "world")
NOW, SECOND, DAY = timedelta(), timedelta(seconds=1), timedelta(days=1)


@pytest.fixture
def upload(tmp_path):
    """`upload(b"...")` stores bytes that no version names."""

    def stored(content):
        path = tmp_path / hashlib.sha256(content).hexdigest()
        path.write_bytes(content)
        return artifacts.upload(path)

    return stored


def there(digest):
    return store().size(artifact_key(digest)) is not None


def age(digest, **back):
    row = Artifact.objects.get(pk=digest)
    Artifact.objects.filter(pk=digest).update(marked_at=row.marked_at - timedelta(**back))


def test_it_waits_the_grace_and_then_lets_go(upload):
    digest = upload(b"loose").sha256
    assert sweeping.sweep(grace=DAY)["artifacts"] == 0
    assert there(digest)
    age(digest, days=2)
    done = sweeping.sweep(grace=DAY)
    assert (done["artifacts"], done["bytes"], done["digests"]) == (1, 5, [digest])
    assert not there(digest)
    assert not Artifact.objects.filter(pk=digest).exists()


def test_it_records_what_it_took(upload):
    digest = upload(b"loose").sha256
    sweeping.sweep(grace=NOW)
    assert AuditEvent.objects.get(action="artifact.sweep").after["digests"] == [digest]


def test_it_leaves_what_a_version_holds(world):
    version = make_version(world.health)
    dataset = make_dataset_version(world.health)
    assert sweeping.sweep(grace=NOW)["artifacts"] == 0
    for manifest in (version.manifest, dataset.manifest):
        assert all(there(entry["sha256"]) for entry in manifest.files.values())


def test_it_takes_what_only_a_rejected_version_named(world):
    version = make_version(world.health, status="rejected")
    assert sweeping.sweep(grace=NOW)["artifacts"] == 2
    digests = [entry["sha256"] for entry in version.manifest.files.values()]
    assert [Artifact.objects.get(pk=digest).state for digest in digests] == [ArtifactState.DESTROYED] * 2
    assert not any(map(there, digests))


def test_it_takes_a_checkpoint_once_its_job_ended(world):
    version = make_dataset_version(world.health)
    manifest = make_manifest({"state.json": b"{}"})
    job = jobs.create(by=SYSTEM, kind=JobKind.TRAIN, team=world.health, payload={})
    kept = JobCheckpoint.objects.create(job=job, step=1, manifest=manifest)
    assert sweeping.sweep(grace=NOW)["artifacts"] == 0
    kept.delete()
    assert sweeping.sweep(grace=NOW)["artifacts"] == 1
    assert there(version.sha256)


def test_whoever_uploads_the_same_bytes_gets_the_grace_anew(upload):
    digest = upload(b"again").sha256
    sweeping.sweep(grace=DAY)
    age(digest, days=2)
    upload(b"again")
    assert sweeping.sweep(grace=DAY)["artifacts"] == 0
    assert there(digest)


def test_whoever_commits_marked_bytes_keeps_them(upload):
    stored = upload(b"soon named")
    sweeping.mark()
    with transaction.atomic():
        manifest = artifacts.commit_manifest({"rows.jsonl": stored})
    assert Artifact.objects.get(pk=stored.sha256).marked_at is None
    assert manifest.files


def test_a_dry_run_says_what_would_go_and_changes_nothing(upload, world):
    digest = upload(b"loose").sha256
    before = list(Artifact.objects.order_by("pk").values())
    said = sweeping.plan(grace=NOW)
    assert (said["artifacts"], said["bytes"], said["digests"], said["dry_run"]) == (1, 5, [digest], True)
    assert list(Artifact.objects.order_by("pk").values()) == before
    assert there(digest)


def test_it_finds_objects_that_no_row_names(tmp_path):
    content = b"its row was never committed"
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "file").write_bytes(content)
    store().put(artifact_key(digest), tmp_path / "file", sha256=digest)
    assert sweeping.sweep(grace=DAY)["orphans"] == 0
    done = sweeping.sweep(grace=-SECOND)  # an S3 store says by the second when an object came
    assert (done["orphans"], done["artifacts"]) == (1, 1)
    assert not there(digest)


def test_it_takes_what_a_withdrawal_could_not_delete(world):
    version = make_dataset_version(world.health)
    version_states.withdraw_dataset(by=SYSTEM, version=version, reason="asked to")
    sweeping.sweep(grace=DAY)
    assert destruction.remaining() == []


def test_a_size_that_was_only_claimed_keeps_nobody_from_the_bytes(upload):
    """A sweep marked the claim as destroyed and crashed; then the right bytes come."""
    digest = hashlib.sha256(b"right").hexdigest()
    Artifact.objects.create(sha256=digest, size=999)
    Artifact.objects.filter(pk=digest).update(state=ArtifactState.DESTROYED)
    stored = upload(b"right")
    with transaction.atomic():
        artifacts.commit_manifest({"a": stored})
    row = Artifact.objects.get(pk=digest)
    assert (row.state, row.size) == (ArtifactState.COMMITTED, 5)


def test_verified_bytes_correct_a_size_that_was_claimed(upload):
    digest = hashlib.sha256(b"right").hexdigest()
    Artifact.objects.create(sha256=digest, size=999)
    upload(b"right")
    assert Artifact.objects.get(pk=digest).size == 5
