"""Destroying bytes, while the digests stay: what a withdrawal promises (invariant 11).

1. `condemn`, in the transaction of the withdrawal: artifacts that no other live manifest holds are marked.
2. `carry_out`, after it: each object is deleted under its row's lock, unless somebody stored and committed the
   same bytes again meanwhile. A crash between the two leaves marked artifacts; `remaining` finds them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import transaction

from registry.choices import ArtifactState
from registry.models import AdapterVersion, Artifact, Manifest, ManifestEntry, MergedModel
from registry.selectors import holding
from registry.storage import StoreError, artifact_key, store

log = logging.getLogger(__name__)


def condemn(manifests: Iterable[Manifest | None]) -> list[str]:
    """Mark what only these manifests held; returns the digests. The rows that name them have ended already."""
    named = ManifestEntry.objects.filter(manifest__in=[m.pk for m in manifests if m is not None])
    committed = Artifact.objects.filter(pk__in=named.values("artifact"), state=ArtifactState.COMMITTED)
    # Two statements: whoever commits the same bytes holds their rows, and what names them is seen only by a
    # statement that begins after the wait.
    locked = list(committed.select_for_update().order_by("sha256").values_list("sha256", flat=True))
    free = holding.loose(Artifact.objects.filter(pk__in=locked, state=ArtifactState.COMMITTED))
    digests = list(free.order_by("sha256").values_list("sha256", flat=True))
    Artifact.objects.filter(sha256__in=digests).update(state=ArtifactState.DESTROYED)
    transaction.on_commit(lambda: carry_out(digests))
    return digests


def unmerge(version: AdapterVersion) -> list[Manifest]:
    """Give up the version's merged model; the files that it held, if it was made already."""
    rows = list(MergedModel.objects.select_for_update().filter(version=version))
    manifests = [row.manifest for row in rows if row.manifest is not None]
    MergedModel.objects.filter(version=version).delete()
    return manifests


def carry_out(digests: Iterable[str]) -> int:
    """Delete the objects of marked artifacts; returns how many. Safe to repeat."""
    return sum(_carry_out(digest) for digest in digests)


def _carry_out(digest: str) -> bool:
    with transaction.atomic():
        marked = Artifact.objects.select_for_update().filter(pk=digest, state=ArtifactState.DESTROYED)
        if not marked.exists():
            return False
        try:
            store().delete(artifact_key(digest))
        except StoreError:
            log.warning("the store is away; %s is destroyed later", digest)
            return False
    return True


def remaining() -> list[str]:
    """Digests that are marked but still lie in the store."""
    marked = Artifact.objects.filter(state=ArtifactState.DESTROYED).values_list("sha256", flat=True)
    return [digest for digest in marked if store().size(artifact_key(digest)) is not None]
