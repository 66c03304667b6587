"""The database itself refuses what must never be, whoever asks (invariants 1, 3, 4, 5, 7, 8)."""

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
    AliasHistory,
    Approval,
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


@pytest.mark.parametrize("status", ["verifying", "rejected"])
def test_an_adapter_version_never_goes_back_to_where_it_could_be_changed(world, store, status):
    version = make_version(world.health)
    if status == "rejected":
        AdapterVersion.objects.filter(pk=version.pk).update(status="withdrawn")
        status = "ready"
    refused(lambda: AdapterVersion.objects.filter(pk=version.pk).update(status=status))


def test_a_base_version_never_goes_back_to_where_it_could_be_changed(world, store):
    version = make_base_version()
    refused(lambda: BaseVersion.objects.filter(pk=version.pk).update(status="ingesting"))
    BaseVersion.objects.filter(pk=version.pk).update(status="retired")
    refused(lambda: BaseVersion.objects.filter(pk=version.pk).update(status="active"))


@pytest.mark.parametrize("status", ["uploading", "validating"])
def test_a_dataset_version_never_goes_back_to_where_it_could_be_changed(world, store, status):
    version = make_dataset_version(world.health)
    refused(lambda: DatasetVersion.objects.filter(pk=version.pk).update(status=status))
    DatasetVersion.objects.filter(pk=version.pk).update(status="withdrawn")
    refused(lambda: DatasetVersion.objects.filter(pk=version.pk).update(status="ready"))


def test_the_files_of_a_ready_version_stay_as_they_are(world, store):
    version = make_version(world.health)
    other = make_version(world.health).manifest.entries.first()
    entries = ManifestEntry.objects.filter(manifest=version.manifest_id)
    refused(lambda: entries.first().delete())
    refused(lambda: ManifestEntry.objects.create(manifest=version.manifest, path="x", artifact=other.artifact))
    refused(lambda: Manifest.objects.filter(pk=version.manifest_id).update(created_at=timezone.now()))


@pytest.mark.parametrize("change", [{"size": 1}, {"state": "pending"}, {"sha256": "c" * 64}])
def test_stored_bytes_keep_their_digest_and_size(world, store, change):
    digest = make_version(world.health).manifest.entries.first().artifact_id
    refused(lambda: Artifact.objects.filter(pk=digest).update(**change))
    Artifact.objects.filter(pk=digest).update(state="destroyed")


def test_an_assignment_is_not_closed_in_the_past(world, store):
    row = Assignment.objects.create(**assigned(world), valid_from=timezone.now() - timedelta(hours=2))
    for past in (row.valid_from, timezone.now() - timedelta(minutes=1)):
        refused(lambda past=past: Assignment.objects.filter(pk=row.pk).update(valid_to=past))
    Assignment.objects.filter(pk=row.pk).update(valid_to=timezone.now())


def test_a_planned_assignment_can_be_emptied(world, store):
    row = Assignment.objects.create(**assigned(world), valid_from=timezone.now() + timedelta(hours=2))
    assert Assignment.objects.filter(pk=row.pk).update(valid_to=row.valid_from) == 1


def test_an_alias_history_is_not_closed_in_the_past(world, store):
    version = make_version(world.health)
    alias = Alias.objects.create(adapter=version.adapter, name="candidate", version=version)
    begun = timezone.now() - timedelta(hours=2)
    row = AliasHistory.objects.create(alias=alias, version=version, valid_from=begun, actor="x")
    refused(lambda: AliasHistory.objects.filter(pk=row.pk).update(valid_to=begun))
    AliasHistory.objects.filter(pk=row.pk).update(valid_to=timezone.now())


def test_no_assignment_is_slipped_into_a_gap_of_the_past(world, store):
    values, now = assigned(world), timezone.now()
    hours = [now - timedelta(hours=n) for n in range(6)]
    Assignment.objects.create(**values, valid_from=hours[3], valid_to=hours[2])
    for begun, ended in ((hours[5], hours[4]), (hours[1], now), (hours[1], None)):
        row = {"valid_from": begun, "valid_to": ended}
        refused(lambda row=row: Assignment.objects.create(**values, **row))
    Assignment.objects.create(**values, valid_from=timezone.now())


def test_a_plan_may_be_made_before_another_plan(world, store):
    values, now = assigned(world), timezone.now()
    Assignment.objects.create(**values, valid_from=now + timedelta(hours=2))
    begun = {"valid_from": now + timedelta(hours=1), "valid_to": now + timedelta(hours=2)}
    assert Assignment.objects.create(**values, **begun).pk


def test_no_alias_history_is_added_to_the_past(world, store):
    version = make_version(world.health)
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="candidate", version=version, reason="")
    begun = AliasHistory.objects.get(alias=alias).valid_from
    row = {"alias": alias, "version": version, "actor": "x"}
    refused(lambda: AliasHistory.objects.create(**row, valid_from=begun - timedelta(hours=1), valid_to=begun))
    refused(lambda: AliasHistory.objects.create(**row, valid_from=begun, valid_to=timezone.now()))


def test_the_history_of_a_deleted_alias_is_not_prolonged(world, store):
    version = make_version(world.health)
    alias = Alias.objects.create(adapter=version.adapter, name="candidate", version=version)
    row = {"alias": alias, "version": version, "actor": "x"}
    ended = timezone.now() - timedelta(hours=1)
    AliasHistory.objects.create(**row, valid_from=ended - timedelta(hours=1), valid_to=ended)
    refused(lambda: AliasHistory.objects.create(**row, valid_from=ended))


def test_a_deleted_alias_stays_deleted(world, store):
    version = make_version(world.health)
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="candidate", version=version, reason="")
    aliases.delete(by=SYSTEM, adapter=version.adapter, name="candidate")
    refused(lambda: Alias.objects.filter(pk=alias.pk).update(deleted_at=None))
    refused(lambda: Alias.objects.filter(pk=alias.pk).update(name="other"))


@pytest.mark.parametrize("status", ["archived", "verifying", "quarantined"])
@pytest.mark.parametrize("column", ["version", "canary_version"])
def test_an_assignment_names_only_ready_versions(world, store, column, status):
    values = {**assigned(world), column: make_version(world.health, status=status)}
    refused(lambda: Assignment.objects.create(**values, valid_from=timezone.now()))


def test_an_assignment_names_only_a_canary_of_its_own_adapter(world, store):
    values = {**assigned(world), "canary_version": make_version(world.health, "other")}
    refused(lambda: Assignment.objects.create(**values, valid_from=timezone.now()))


def test_an_assignment_names_no_deleted_alias(world, store):
    values = assigned(world)
    adapter = values["adapter"]
    alias = aliases.move(by=SYSTEM, adapter=adapter, name="candidate", version=values["version"], reason="")
    aliases.delete(by=SYSTEM, adapter=adapter, name="candidate")
    values |= {"alias": alias, "version": None}
    refused(lambda: Assignment.objects.create(**values, valid_from=timezone.now()))


def assigned(world):
    """What a row says that pins a ready version of a client's only slot."""
    version = make_version(world.health)
    slot = clients.create(by=SYSTEM, team=world.health, name="c", vertical="").slots.get()
    return {"slot": slot, "adapter": version.adapter, "version": version, "actor": "x"}


@pytest.mark.parametrize(("first", "then"), [("used_at", "withdrawn_at"), ("withdrawn_at", "used_at")])
def test_an_approval_ends_once(world, store, first, then):
    version = make_version(world.health)
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="a", version=version, reason="", force=True)
    row = Approval.objects.create(
        alias=alias, version=version, manifest_sha256=version.manifest_id, approver=world.erin
    )
    rows = Approval.objects.filter(pk=row.pk)
    rows.update(**{first: timezone.now()})
    refused(lambda: rows.update(**{then: timezone.now()}))
    refused(lambda: rows.update(**{first: None}))
    refused(lambda: rows.update(reason="another"))
    refused(rows.delete)
