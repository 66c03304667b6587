"""What a job was to make and did not: its objects end with it, whether it failed, was cancelled or got lost."""

from __future__ import annotations

from django.utils import timezone

from registry.choices import BaseStatus, DatasetStatus, VersionStatus
from registry.models import AdapterVersion, BaseVersion, DatasetVersion, Job
from registry.services import destruction


def end(job: Job, reason: str) -> None:
    """Call it in the transaction of the job's final state; harmless where nothing waits for the job."""
    BaseVersion.objects.filter(job=job, status=BaseStatus.INGESTING).update(
        status=BaseStatus.FAILED, status_reason=reason
    )
    datasets = DatasetVersion.objects.filter(job=job, status=DatasetStatus.VALIDATING)
    adapters = AdapterVersion.objects.filter(job=job, status=VersionStatus.VERIFYING)
    # Read before they change: nothing of what was refused is kept.
    ended = [version.source for version in datasets.select_related("source")]
    ended += [version.manifest for version in adapters.select_related("manifest")]
    datasets.update(status=DatasetStatus.REJECTED, status_reason=reason, status_at=timezone.now())
    adapters.update(status=VersionStatus.REJECTED, status_reason=reason)
    if ended:
        destruction.condemn(ended)
