"""What a job was to make and did not: its objects end with it, whether it failed, was cancelled or got lost."""

from __future__ import annotations

from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import BaseStatus, DatasetStatus, JobState, VersionStatus
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Evaluation, Job, Manifest, MergedModel
from registry.services import audit, destruction


def end(job: Job, reason: str) -> None:
    """Call it in the transaction of the job's final state; harmless where nothing waits for the job."""
    _end_bases(job, reason)
    _end_evaluations(job)
    MergedModel.objects.filter(job=job, manifest=None).delete()
    # Nothing of what was refused is kept.
    ended = [*_end_datasets(job, reason), *_end_adapters(job, reason)]
    if ended:
        destruction.condemn(ended)


def _end_evaluations(job: Job) -> None:
    ended = Job.objects.values_list("state", flat=True).get(pk=job.pk)
    Evaluation.objects.filter(job=job, state=JobState.QUEUED).update(state=ended)


def _end_bases(job: Job, reason: str) -> None:
    waiting = BaseVersion.objects.filter(job=job, status=BaseStatus.INGESTING).select_related("base_model")
    for version in list(waiting):
        waiting.filter(pk=version.pk).update(status=BaseStatus.FAILED, status_reason=reason)
        _record(job, "base_version.failed", f"base:{version.address}", reason)


def _end_datasets(job: Job, reason: str) -> list[Manifest]:
    waiting = DatasetVersion.objects.filter(job=job, status=DatasetStatus.VALIDATING)
    ended = list(waiting.select_related("dataset__team", "source"))
    for version in ended:
        waiting.update(status=DatasetStatus.REJECTED, status_reason=reason, status_at=timezone.now())
        _record(job, "dataset_version.rejected", f"dataset:{version.address}", reason)
    return [version.source for version in ended]


def _end_adapters(job: Job, reason: str) -> list[Manifest]:
    waiting = AdapterVersion.objects.filter(job=job, status=VersionStatus.VERIFYING)
    ended = list(waiting.select_related("adapter__team", "manifest"))
    for version in ended:
        waiting.update(status=VersionStatus.REJECTED, status_reason=reason)
        _record(job, "adapter_version.rejected", f"adapter:{version.address}", reason)
    return [version.manifest for version in ended]


def _record(job: Job, action: str, obj: str, reason: str) -> None:
    by = SYSTEM.behalf(job.on_behalf_of or (job.created_by.email if job.created_by else ""))
    audit.record(by, action, obj, team=job.team, after={"job": job.pk}, reason=reason)
