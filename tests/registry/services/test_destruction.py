"""Bytes that nobody may have any more, and those that somebody still needs."""

from __future__ import annotations

import pytest
from django.db import transaction

from registry.choices import ArtifactState, DatasetStatus
from registry.models import Artifact, DatasetVersion
from registry.services import artifacts, destruction
from registry.storage import artifact_key, store
from tests.make import make_dataset_version, make_manifest

pytestmark = pytest.mark.usefixtures("store")


def withdrawn(team):
    version = make_dataset_version(team)
    DatasetVersion.objects.filter(pk=version.pk).update(status=DatasetStatus.WITHDRAWN)
    return version


def test_a_crash_before_the_deletion_leaves_what_can_be_found(world):
    version = withdrawn(world.health)
    digests = destruction.condemn([version.manifest])  # its deletion waits for a commit that never comes
    assert destruction.remaining() == digests == [version.sha256]
    assert destruction.carry_out(digests) == 1
    assert destruction.remaining() == []


def test_bytes_that_came_again_meanwhile_are_spared(world, tmp_path):
    version = withdrawn(world.health)
    artifacts.fetch_file(version.sha256, tmp_path / "again")
    digests = destruction.condemn([version.manifest])
    stored = artifacts.upload(tmp_path / "again")
    with transaction.atomic():
        artifacts.commit_manifest({"rows.jsonl": stored})
    assert destruction.carry_out(digests) == 0
    assert store().size(artifact_key(version.sha256)) == stored.size


def test_it_marks_only_what_no_living_version_holds(world):
    shared = make_manifest({"rows.jsonl": b"shared", "more": b"own"})
    version = make_dataset_version(world.health, manifest=shared, source=shared)
    other = make_manifest({"rows.jsonl": b"shared"})
    make_dataset_version(world.finance, manifest=other, source=other)
    DatasetVersion.objects.filter(pk=version.pk).update(status=DatasetStatus.WITHDRAWN)
    digests = destruction.condemn([shared])
    assert [Artifact.objects.get(pk=digest).size for digest in digests] == [3]
    assert Artifact.objects.filter(state=ArtifactState.DESTROYED).count() == 1
