"""Bytes that are looked at again, and what follows when they are wrong."""

from __future__ import annotations

import hashlib

import pytest

from registry.access import SYSTEM
from registry.choices import VersionStatus
from registry.errors import Conflict
from registry.models import Artifact, AuditEvent
from registry.services import artifacts, scrubbing, version_states
from registry.storage import artifact_key, store
from tests.make import make_base_version, make_dataset_version, make_version

pytestmark = pytest.mark.usefixtures("store")
ALL = 10**9


@pytest.fixture
def version(world):
    return make_version(world.health)


def weights(version):
    return version.manifest.files["adapter_model.safetensors"]["sha256"]


def content_of(version):
    with artifacts.open_artifact(weights(version)) as stream:
        return stream.read()


def spoil(digest, tmp_path, content=b"other bytes"):
    """The object holds something else from now on."""
    (tmp_path / "spoilt").write_bytes(content)
    store().delete(artifact_key(digest))
    store().put(artifact_key(digest), tmp_path / "spoilt", sha256=hashlib.sha256(content).hexdigest())


def test_it_finds_nothing_where_all_is_right(version):
    done = scrubbing.scrub(most_bytes=ALL)
    assert (done["damaged"], done["left"]) == (0, 0)
    assert done["artifacts"] == Artifact.objects.count()


def test_it_goes_on_where_it_stopped(version):
    total = Artifact.objects.count()
    seen = [scrubbing.scrub(most_bytes=1)["artifacts"] for _ in range(total)]
    assert seen == [1] * total
    assert not Artifact.objects.filter(checked_at=None).exists()


def test_damaged_bytes_quarantine_every_version_that_holds_them(version, world, tmp_path):
    other = make_version(world.health, "coding", manifest=version.manifest)
    spoil(weights(version), tmp_path)
    done = scrubbing.scrub(most_bytes=ALL)
    version.refresh_from_db()
    assert done["findings"][0]["adapters"] == [version.address, other.address]
    assert (version.status, weights(version) in version.status_reason) == (VersionStatus.QUARANTINED, True)


def test_missing_bytes_quarantine_too(version):
    store().delete(artifact_key(weights(version)))
    assert scrubbing.scrub(most_bytes=ALL)["findings"][0]["problem"] == "missing"
    version.refresh_from_db()
    assert version.status == VersionStatus.QUARANTINED


def test_it_warns_of_damaged_bases_and_datasets(world, tmp_path):
    base, dataset = make_base_version(), make_dataset_version(world.health)
    for digest in (base.manifest.files["config.json"]["sha256"], dataset.sha256):
        spoil(digest, tmp_path)
    scrubbing.scrub(most_bytes=ALL)
    named = set(AuditEvent.objects.filter(action__endswith=".damaged").values_list("action", "object"))
    assert {
        ("base_version.damaged", "base:llama@1"),
        ("dataset_version.damaged", "dataset:health/notes@1"),
    } <= named


def test_a_damaged_version_is_not_restored_until_its_bytes_are_right(version, tmp_path):
    content = content_of(version)
    spoil(weights(version), tmp_path)
    scrubbing.scrub(most_bytes=ALL)
    version.refresh_from_db()
    with pytest.raises(Conflict, match="damaged"):
        version_states.restore(by=SYSTEM, version=version, reason="")
    spoil(weights(version), tmp_path, content)
    assert scrubbing.scrub(most_bytes=ALL)["mended"] == 1
    assert version_states.restore(by=SYSTEM, version=version, reason="").status == VersionStatus.READY


def test_the_same_bytes_uploaded_again_mend_the_object(version, tmp_path):
    content = content_of(version)
    spoil(weights(version), tmp_path, b"x" * len(content))
    scrubbing.scrub(most_bytes=ALL)
    (tmp_path / "again").write_bytes(content)
    artifacts.upload(tmp_path / "again")
    assert content_of(version) == content
    assert not Artifact.objects.filter(damaged_at__isnull=False).exists()
