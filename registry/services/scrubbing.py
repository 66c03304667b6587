"""Scrubbing: stored bytes are hashed again, the one that was checked longest ago first.

What is damaged or missing is said where it hurts: ready adapter versions that hold it are quarantined, so that
nothing serves them; base and dataset versions get a warning in the record. Bytes that are right again (uploaded
anew, or restored from a backup) lose the mark, and the versions may be restored.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import ArtifactState, BaseStatus, DatasetStatus, VersionStatus
from registry.errors import Unavailable
from registry.models import AdapterVersion, Artifact, BaseVersion, DatasetVersion
from registry.services import audit, version_states
from registry.services.artifacts import digest_of
from registry.storage import Missing, StoreError, artifact_key, store

SHOWN = 100
CHECKED = (ArtifactState.COMMITTED, ArtifactState.REFERENCED)
Beat = Callable[[dict[str, Any]], None]


@dataclass
class Scrubbed:
    artifacts: int = 0
    bytes: int = 0
    mended: int = 0
    damaged: list[dict[str, Any]] = field(default_factory=list)


def scrub(*, most_bytes: int, beat: Beat = lambda _: None) -> dict[str, Any]:
    """Hash at least one artifact and at most about `most_bytes`. `beat` hears how far it is, and may raise."""
    began, done = timezone.now(), Scrubbed()
    while done.bytes < most_bytes and (row := _next(began)) is not None:
        problem = _problem(row)
        if problem:
            _damaged(row, problem, done)
        else:
            done.mended += _right(row)
        done.artifacts += 1
        done.bytes += row.size
        beat({"artifacts": done.artifacts, "bytes": done.bytes, "damaged": len(done.damaged)})
    return {
        "artifacts": done.artifacts,
        "bytes": done.bytes,
        "mended": done.mended,
        "damaged": len(done.damaged),
        "findings": done.damaged[:SHOWN],
        "left": _left(began).count(),
    }


def _left(began: datetime) -> QuerySet[Artifact]:
    return Artifact.objects.filter(Q(checked_at=None) | Q(checked_at__lt=began), state__in=CHECKED)


def _next(began: datetime) -> Artifact | None:
    return _left(began).order_by(F("checked_at").asc(nulls_first=True), "sha256").first()


def _problem(row: Artifact) -> str:
    """What is wrong with the bytes; empty where nothing is. Raises Unavailable where the store can't be asked."""
    try:
        with closing(_opened(row)) as stream:
            found = digest_of(stream)
    except (Missing, FileNotFoundError):
        return "missing"
    except (StoreError, OSError) as error:
        raise Unavailable(f"The store is away: {error}", code="store_unavailable", retry_after=5) from error
    return "" if found == (row.sha256, row.size) else f"hashes to {found[0]} ({found[1]} bytes)"


def _opened(row: Artifact) -> BinaryIO:
    return Path(row.location).open("rb") if row.location else store().open(artifact_key(row.sha256))


def _right(row: Artifact) -> int:
    """Whether it was damaged before."""
    with transaction.atomic():
        mended = Artifact.objects.filter(pk=row.pk, damaged_at__isnull=False).update(damaged_at=None)
        Artifact.objects.filter(pk=row.pk).update(checked_at=Now())
        if mended:
            audit.record(SYSTEM, "artifact.mended", f"artifact:{row.sha256}")
    return mended


def _damaged(row: Artifact, problem: str, done: Scrubbed) -> None:
    with transaction.atomic():
        # A sweep or a withdrawal may have taken it since it was read.
        locked = Artifact.objects.select_for_update().filter(pk=row.pk, state__in=CHECKED)
        if not locked.exists():
            return
        Artifact.objects.filter(pk=row.pk).update(damaged_at=Coalesce("damaged_at", Now()), checked_at=Now())
        found = {
            "sha256": row.sha256,
            "problem": problem,
            "adapters": [_quarantine(version, row, problem) for version in _adapters(row)],
            "datasets": [_warn("dataset", one, row, problem, one.dataset.team) for one in _datasets(row)],
            "bases": [_warn("base", one, row, problem, None) for one in _bases(row)],
        }
        audit.record(SYSTEM, "artifact.damaged", f"artifact:{row.sha256}", after=found)
    done.damaged.append(found)


def _quarantine(version: AdapterVersion, row: Artifact, problem: str) -> str:
    if version.status == VersionStatus.READY:
        reason = f"Its stored bytes are damaged: artifact {row.sha256} {problem}."
        version_states.quarantine(by=SYSTEM, version=version, reason=reason)
    return version.address


def _warn(kind: str, version: Any, row: Artifact, problem: str, team: Any) -> str:
    after = {"artifact": row.sha256, "problem": problem}
    audit.record(SYSTEM, f"{kind}_version.damaged", f"{kind}:{version.address}", team=team, after=after)
    return str(version.address)


def _adapters(row: Artifact) -> QuerySet[AdapterVersion]:
    living = (VersionStatus.READY, VersionStatus.ARCHIVED, VersionStatus.QUARANTINED)
    rows = AdapterVersion.objects.filter(manifest__entries__artifact=row, status__in=living)
    return rows.select_related("adapter__team").distinct().order_by("pk")


def _datasets(row: Artifact) -> QuerySet[DatasetVersion]:
    named = Q(manifest__entries__artifact=row) | Q(source__entries__artifact=row)
    rows = DatasetVersion.objects.filter(named, status__in=(DatasetStatus.READY, DatasetStatus.ARCHIVED))
    return rows.select_related("dataset__team").distinct().order_by("pk")


def _bases(row: Artifact) -> QuerySet[BaseVersion]:
    rows = BaseVersion.objects.filter(manifest__entries__artifact=row).exclude(status=BaseStatus.FAILED)
    return rows.select_related("base_model").distinct().order_by("pk")
