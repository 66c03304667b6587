"""Which stored bytes a living row still names: the rest may be destroyed or swept."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from registry.choices import BaseStatus, DatasetStatus, UploadState, VersionStatus
from registry.models import (
    AdapterVersion,
    Artifact,
    BaseVersion,
    DatasetVersion,
    JobCheckpoint,
    ManifestEntry,
    MergedModel,
    Upload,
)

DEAD_VERSIONS = (VersionStatus.WITHDRAWN, VersionStatus.REJECTED)
DEAD_DATASETS = (DatasetStatus.WITHDRAWN, DatasetStatus.REJECTED)


def held(rows: QuerySet[Artifact]) -> QuerySet[Artifact]:
    """Those of the artifacts that a living row names."""
    return rows.filter(_named())


def loose(rows: QuerySet[Artifact]) -> QuerySet[Artifact]:
    """Those that none does."""
    return rows.filter(~_named())


def _named() -> Exists:
    of_manifest = OuterRef("manifest")
    data = Q(source=of_manifest) | Q(manifest=of_manifest)
    living = (
        Exists(DatasetVersion.objects.filter(data).exclude(status__in=DEAD_DATASETS))
        | Exists(AdapterVersion.objects.filter(manifest=of_manifest).exclude(status__in=DEAD_VERSIONS))
        | Exists(BaseVersion.objects.filter(manifest=of_manifest).exclude(status=BaseStatus.FAILED))
        | Exists(JobCheckpoint.objects.filter(manifest=of_manifest))
        | Exists(Upload.objects.filter(manifest=of_manifest, state=UploadState.COMPLETE))
        | Exists(MergedModel.objects.filter(manifest=of_manifest))
    )
    return Exists(ManifestEntry.objects.filter(living, artifact=OuterRef("pk")))
