"""Destroying bytes, while the digests stay: what a withdrawal promises (invariant 11).

1. `condemn`, in the transaction of the withdrawal: artifacts that no other live manifest holds are marked.
2. `carry_out`, after it: each object is deleted under its row's lock, unless somebody stored and committed the
   same bytes again meanwhile. A crash between the two leaves marked artifacts; `remaining` finds them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from registry.choices import ArtifactState, BaseStatus, DatasetStatus, VersionStatus
from registry.models import (
    AdapterVersion,
    Artifact,
    BaseVersion,
    DatasetVersion,
    JobCheckpoint,
    Manifest,
    ManifestEntry,
)
from registry.storage import StoreError, artifact_key, store

log = logging.getLogger(__name__)
DEAD_VERSIONS = (VersionStatus.WITHDRAWN, VersionStatus.REJECTED)
DEAD_DATASETS = (DatasetStatus.WITHDRAWN, DatasetStatus.REJECTED)


def condemn(manifests: Iterable[Manifest | None]) -> list[str]:
    """Mark what only these manifests held; returns the digests. The rows that name them have ended already."""
    named = ManifestEntry.objects.filter(manifest__in=[m.pk for m in manifests if m is not None])
    committed = Artifact.objects.filter(pk__in=named.values("artifact"), state=ArtifactState.COMMITTED)
    # Two statements: whoever commits the same bytes holds their rows, and what names them is seen only by a
    # statement that begins after the wait.
    locked = list(committed.select_for_update().order_by("sha256").values_list("sha256", flat=True))
    free = Artifact.objects.filter(pk__in=locked, state=ArtifactState.COMMITTED).exclude(pk__in=_held())
    digests = list(free.order_by("sha256").values_list("sha256", flat=True))
    Artifact.objects.filter(sha256__in=digests).update(state=ArtifactState.DESTROYED)
    transaction.on_commit(lambda: carry_out(digests))
    return digests


def carry_out(digests: Iterable[str]) -> int:
    """Delete the objects of marked artifacts; returns how many. Safe to repeat."""
    count = 0
    for digest in digests:
        with transaction.atomic():
            marked = Artifact.objects.select_for_update().filter(pk=digest, state=ArtifactState.DESTROYED)
            if not marked.exists():
                continue
            try:
                store().delete(artifact_key(digest))
                count += 1
            except StoreError:
                log.warning("the store is away; %s is destroyed later", digest)
    return count


def remaining() -> list[str]:
    """Digests that are marked but still lie in the store."""
    marked = Artifact.objects.filter(state=ArtifactState.DESTROYED).values_list("sha256", flat=True)
    return [digest for digest in marked if store().size(artifact_key(digest)) is not None]


def _held() -> QuerySet[ManifestEntry, str]:
    """Digests that a living row names."""
    of_manifest = OuterRef("manifest")
    living = (
        Exists(
            DatasetVersion.objects.filter(Q(source=of_manifest) | Q(manifest=of_manifest)).exclude(
                status__in=DEAD_DATASETS
            )
        )
        | Exists(AdapterVersion.objects.filter(manifest=of_manifest).exclude(status__in=DEAD_VERSIONS))
        | Exists(BaseVersion.objects.filter(manifest=of_manifest).exclude(status=BaseStatus.FAILED))
        | Exists(JobCheckpoint.objects.filter(manifest=of_manifest))
    )
    return ManifestEntry.objects.filter(living).values_list("artifact_id", flat=True)
