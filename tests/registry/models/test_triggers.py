"""The database itself refuses what must never be, whoever asks (handbook invariants 1, 3, 4, 5, 7, 8)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import JobKind
from registry.models import (
    Adapter,
    AdapterVersion,
    Alias,
    Artifact,
    Assignment,
    AuditEvent,
    BaseVersion,
    DatasetVersion,
    Job,
    Manifest,
    ManifestEntry,
)
from registry.services import aliases, clients, jobs
from tests.make import make_base_version, make_dataset_version, make_version


def refused(act):
    with pytest.raises(IntegrityError), transaction.atomic():
        act()


@pytest.mark.parametrize(
    "change", [{"rank": 9}, {"number": 7}, {"probe": {}}, {"target_modules": ["x"]}, {"bytes": 1}]
)
def test_a_ready_adapter_version_never_changes(world, store, change):
    version = make_version(world.health)
    refused(lambda: AdapterVersion.objects.filter(pk=version.pk).update(**change))


def test_a_ready_base_version_never_changes(world, store):
    version = make_base_version()
    refused(lambda: BaseVersion.objects.filter(pk=version.pk).update(module_table=[]))


def test_a_ready_dataset_version_never_changes(world, store):
    version = make_dataset_version(world.health)
    refused(lambda: DatasetVersion.objects.filter(pk=version.pk).update(row_count=1))


def test_versions_are_never_deleted(world, store):
    version = make_version(world.health)
    refused(lambda: AdapterVersion.objects.filter(pk=version.pk).delete())


def test_a_counter_never_goes_back(world, store):
    version = make_version(world.health)
    refused(lambda: Adapter.objects.filter(pk=version.adapter_id).update(version_counter=0))


def test_a_number_is_used_once(world, store):
    version = make_version(world.health)
    refused(
        lambda: AdapterVersion.objects.create(
            adapter=version.adapter, number=1, base_version=version.base_version, manifest=version.manifest
        )
    )


def test_an_alias_points_only_to_ready_versions_of_its_own_adapter(world, store):
    own, other = make_version(world.health), make_version(world.health, "other")
    draft = make_version(world.health, status="verifying")
    alias = aliases.move(by=SYSTEM, adapter=own.adapter, name="production", version=own, reason="")
    for version in (other, draft):
        refused(lambda version=version: Alias.objects.filter(pk=alias.pk).update(version=version))


def test_a_version_in_use_cannot_be_archived(world, store):
    version = make_version(world.health)
    aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="")
    refused(lambda: AdapterVersion.objects.filter(pk=version.pk).update(status="archived"))


def test_assignments_of_one_slot_never_overlap(world, store):
    version = make_version(world.health)
    slot = clients.create(by=SYSTEM, team=world.health, name="c", vertical="").slots.get()
    now = timezone.now()
    base = {"slot": slot, "adapter": version.adapter, "version": version, "actor": "x"}
    Assignment.objects.create(**base, valid_from=now, valid_to=now + timedelta(hours=2))
    refused(lambda: Assignment.objects.create(**base, valid_from=now + timedelta(hours=1)))
    Assignment.objects.create(**base, valid_from=now + timedelta(hours=2))


def test_an_assignment_is_never_rewritten(world, store):
    version = make_version(world.health)
    slot = clients.create(by=SYSTEM, team=world.health, name="c", vertical="").slots.get()
    row = Assignment.objects.create(
        slot=slot, adapter=version.adapter, version=version, actor="x", valid_from=timezone.now()
    )
    refused(lambda: Assignment.objects.filter(pk=row.pk).update(reason="other"))
    Assignment.objects.filter(pk=row.pk).update(valid_to=timezone.now())
    refused(lambda: Assignment.objects.filter(pk=row.pk).update(valid_to=None))


def test_the_audit_only_grows(world):
    refused(lambda: AuditEvent.objects.update(actor="nobody"))
    refused(lambda: AuditEvent.objects.all().delete())


def test_a_manifest_names_only_committed_bytes(world):
    Artifact.objects.create(sha256="a" * 64, size=1)
    manifest = Manifest.objects.create(sha256="b" * 64)
    refused(lambda: ManifestEntry.objects.create(manifest=manifest, path="x", artifact_id="a" * 64))


def test_a_job_that_ended_stays_as_it_ended(world):
    with transaction.atomic():
        job = jobs.create(by=SYSTEM, kind=JobKind.SWEEP, team=None, payload={})
    jobs.cancel(by=SYSTEM, job_id=job.pk)
    refused(lambda: Job.objects.filter(pk=job.pk).update(state="queued"))
