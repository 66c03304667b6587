"""Whole models of a base version and an adapter version: asked for, made by a job, dropped.

A version has one at most. It goes with the version's withdrawal (services/version_states.py), and with a job that
did not make it (services/unfinished.py).
"""

from __future__ import annotations

from django.db import transaction

from registry.access import SYSTEM, Act, Caller, require
from registry.choices import JobKind, MergedOnto, Method, VersionStatus
from registry.errors import Conflict, Invalid
from registry.models import AdapterVersion, Job, Manifest, MergedModel
from registry.services import artifacts, audit, destruction, jobs
from registry.services.artifacts import Stored

MERGEABLE = (VersionStatus.READY, VersionStatus.ARCHIVED)


def request(
    *, by: Caller, version: AdapterVersion, measured_on: MergedOnto = MergedOnto.SIXTEEN_BIT
) -> MergedModel:
    """Queue the merging of a version, or answer what is there or on its way already.

    `measured_on`: on the base as it is stored, or as QLoRA saw it. Raises Conflict where it is there on the other
    one, Invalid where no 4 bits were in play.
    """
    require(by, Act.TRAIN, version.adapter.team)
    if measured_on == MergedOnto.DEQUANTISED and version.method != Method.QLORA:
        text = f"{version.address} was trained with {version.method}: only a QLoRA version saw a base in 4 bits."
        raise Invalid(text, param="measured_on", code="not_quantised")
    with transaction.atomic():
        # Whoever asks for the same at once waits here, and finds what the first one made.
        AdapterVersion.objects.select_for_update(no_key=True).values_list("pk", flat=True).get(pk=version.pk)
        there = MergedModel.objects.select_related("job", "manifest").filter(version=version).first()
        if there is not None:
            return _same(there, version, measured_on)
        version.refresh_from_db(fields=["status"])
        _refuse_ended(version)
        return _queue(by, version, measured_on)


def _same(there: MergedModel, version: AdapterVersion, measured_on: str) -> MergedModel:
    if there.measured_on != measured_on:
        text = f"{version.address} is merged on the {there.measured_on} base; drop that one first."
        raise Conflict(text, param="measured_on", code="merged_otherwise")
    return there


def _refuse_ended(version: AdapterVersion) -> None:
    if version.status not in MERGEABLE:
        text = f"{version.address} is {version.status}; what is ready or archived can be merged."
        raise Conflict(text, code="version_not_ready")
    if version.base_version.manifest_id is None:
        raise Conflict(f"{version.base_version.address} has no files.", code="base_missing")


def _queue(by: Caller, version: AdapterVersion, measured_on: MergedOnto) -> MergedModel:
    obj, team = f"adapter:{version.address}", version.adapter.team
    payload = {"adapter_version": version.pk, "measured_on": measured_on}
    job = jobs.create(by=by, kind=JobKind.MERGE, team=team, payload=payload, obj=obj)
    audit.record(by, "adapter_version.merge", obj, team=team, after={"job": job.pk, "measured_on": measured_on})
    return MergedModel.objects.create(version=version, job=job, measured_on=measured_on)


def drop(*, by: Caller, merged: MergedModel) -> None:
    """Destroy the merged model's bytes; the version stays, and can be merged again."""
    version = merged.version
    require(by, Act.TRAIN, version.adapter.team)
    with transaction.atomic():
        row = MergedModel.objects.select_for_update().filter(pk=merged.pk).first()
        if row is None:
            return
        if row.manifest is None:
            raise Conflict(f"Job {row.job_id} is still merging it; cancel the job.", code="merging")
        manifest = row.manifest
        row.delete()
        destroyed = destruction.condemn([manifest])
        obj, after = f"adapter:{version.address}", {"destroyed": destroyed}
        audit.record(by, "adapter_version.drop_merged", obj, team=version.adapter.team, after=after)


# What the merging job says ---------------------------------------------------------------------------


def base_of(merged: MergedModel) -> Manifest:
    """The files to add the update to."""
    manifest = merged.version.base_version.manifest
    if manifest is None:
        raise Conflict(f"{merged.version.base_version.address} has no files.", code="base_missing")
    return manifest


def merging(*, job: Job) -> MergedModel:
    """What a merging job is to make. Raises Conflict where it was withdrawn meanwhile."""
    rows = MergedModel.objects.select_related(
        "version__adapter__team", "version__manifest", "version__base_version__manifest"
    )
    merged = rows.filter(job=job).first()
    if merged is None:
        raise Conflict("What was to be merged is gone.", code="merge_dropped")
    _refuse_ended(merged.version)
    return merged


def stored(*, merged: MergedModel, files: dict[str, Stored]) -> Manifest:
    """The files lie in the store. Call it in the transaction that ends the job."""
    manifest = artifacts.commit_manifest(files)
    waiting = MergedModel.objects.filter(
        pk=merged.pk, manifest=None, version__status__in=(*MERGEABLE, VersionStatus.QUARANTINED)
    )
    if waiting.update(manifest=manifest) != 1:
        raise Conflict(f"{merged.version.address} was withdrawn while it was merged.", code="merge_dropped")
    version = merged.version
    by = SYSTEM.behalf(merged.job.created_by.email if merged.job.created_by else "")
    after = {"manifest_sha256": manifest.sha256, "measured_on": merged.measured_on}
    audit.record(
        by, "adapter_version.merged", f"adapter:{version.address}", team=version.adapter.team, after=after
    )
    return manifest
