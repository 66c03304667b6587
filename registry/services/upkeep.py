"""Jobs that look after the store: asked for by an administrator, or begun by the feeder in their interval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from registry.access import SYSTEM, Caller, require_administrator
from registry.choices import OPEN_JOB_STATES, JobKind
from registry.errors import Conflict
from registry.models import Artifact, Job
from registry.services import jobs

STORAGE = "storage"
KINDS = (JobKind.SWEEP, JobKind.SCRUB)


def sweep(*, by: Caller, dry_run: bool = False, grace_seconds: float | None = None) -> Job:
    """Queue a sweep. Raises Conflict while one waits or runs."""
    grace = settings.SWEEP_GRACE_SECONDS if grace_seconds is None else grace_seconds
    return _queue(by, JobKind.SWEEP, {"dry_run": dry_run, "grace_seconds": grace})


def scrub(*, by: Caller, most_bytes: int | None = None) -> Job:
    """Queue a scrub of at most so many bytes. Raises Conflict while one waits or runs."""
    return _queue(by, JobKind.SCRUB, {"most_bytes": settings.SCRUB_BYTES if most_bytes is None else most_bytes})


def start_due() -> list[Job]:
    """What an installation does by itself: one of the two at a time, each in its interval; 0 hours is never."""
    intervals = ((JobKind.SWEEP, settings.SWEEP_HOURS), (JobKind.SCRUB, settings.SCRUB_HOURS))
    return [job for kind, hours in intervals if hours and (job := _start(kind, timedelta(hours=hours)))]


def _start(kind: JobKind, interval: timedelta) -> Job | None:
    since = timezone.now() - interval
    with transaction.atomic():
        _one_at_a_time()
        if Job.objects.filter(kind__in=KINDS, object=STORAGE, state__in=OPEN_JOB_STATES).exists():
            return None
        lately = Job.objects.filter(kind=kind, object=STORAGE, created_at__gt=since)
        if (lately.filter(payload__dry_run=False) if kind == JobKind.SWEEP else lately).exists():
            return None
        # An installation that is younger than the interval has nothing to look after yet.
        if not Artifact.objects.filter(created_at__lt=since).exists():
            return None
        return sweep(by=SYSTEM) if kind == JobKind.SWEEP else scrub(by=SYSTEM)


def _queue(by: Caller, kind: JobKind, payload: dict[str, Any]) -> Job:
    require_administrator(by)
    with transaction.atomic():
        _one_at_a_time()
        running = Job.objects.filter(kind=kind, object=STORAGE, state__in=OPEN_JOB_STATES).first()
        if running is not None:
            raise Conflict(f"Job {running.pk} does that already; wait for it.", code="already_running")
        return jobs.create(by=by, kind=kind, team=None, payload=payload, obj=STORAGE)


def _one_at_a_time() -> None:
    """SQLite's IMMEDIATE transactions already serialise; PostgreSQL takes an advisory lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x91E7404B])
