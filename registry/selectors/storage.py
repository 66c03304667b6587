"""The figures of the store, for those who run the installation."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Min, Q, Sum

from registry.access import Caller, require_administrator
from registry.choices import ArtifactState, JobKind, JobState
from registry.models import Artifact, Job
from registry.selectors import holding

STORED = Q(state=ArtifactState.COMMITTED)


def figures(by: Caller) -> dict[str, Any]:
    """Counts and bytes over all teams, and when the last sweep and scrub ended."""
    require_administrator(by)
    return {
        **_totals(),
        **_loose(),
        "last_sweep": _last(JobKind.SWEEP),
        "last_scrub": _last(JobKind.SCRUB),
    }


def damaged(by: Caller) -> int:
    """Artifacts whose bytes are wrong or missing; only administrators are told."""
    return Artifact.objects.filter(damaged_at__isnull=False).count() if by.administrator else 0


def _totals() -> dict[str, Any]:
    kept = Q(state__in=(ArtifactState.COMMITTED, ArtifactState.REFERENCED))
    found = Artifact.objects.aggregate(
        artifacts=Count("pk", filter=STORED),
        bytes=Sum("size", filter=STORED),
        pending=Count("pk", filter=Q(state=ArtifactState.PENDING)),
        pending_bytes=Sum("size", filter=Q(state=ArtifactState.PENDING)),
        referenced=Count("pk", filter=Q(state=ArtifactState.REFERENCED)),
        referenced_bytes=Sum("size", filter=Q(state=ArtifactState.REFERENCED)),
        destroyed=Count("pk", filter=Q(state=ArtifactState.DESTROYED)),
        damaged=Count("pk", filter=Q(damaged_at__isnull=False)),
        never_checked=Count("pk", filter=kept & Q(checked_at=None)),
        oldest_check=Min("checked_at", filter=kept),
    )
    return {name: 0 if value is None and name.endswith("bytes") else value for name, value in found.items()}


def _loose() -> dict[str, int]:
    rows = holding.loose(Artifact.objects.exclude(state=ArtifactState.DESTROYED))
    found = rows.aggregate(count=Count("pk"), bytes=Sum("size"))
    return {"unreferenced": found["count"], "unreferenced_bytes": found["bytes"] or 0}


def _last(kind: JobKind) -> Any:
    done = Job.objects.filter(kind=kind, object="storage", state=JobState.SUCCEEDED)
    if kind == JobKind.SWEEP:
        done = done.filter(payload__dry_run=False)
    return done.order_by("-pk").values_list("finished_at", flat=True).first()
