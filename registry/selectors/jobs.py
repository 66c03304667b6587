"""Jobs that the caller may read, with their events and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, When

from registry.access import Act, Caller, administers, fetch, require_scope, seen_teams
from registry.choices import HELD_JOB_STATES, JobKind, JobState
from registry.errors import NotFound
from registry.models import AdapterVersion, Job, JobEvent, JobMetric

OF_THE_STORE = (JobKind.SWEEP, JobKind.SCRUB)  # what they find is of all teams
TRAINING = (
    "team",
    "created_by",
    "training__adapter__team",
    "training__base_version__base_model",
    "training__dataset_version__dataset__team",
    "training__evaluation_dataset__dataset__team",
)


def listing(by: Caller, filters: Mapping[str, Any] | None = None, *, kind: str | None = None) -> QuerySet[Job]:
    """Jobs of the caller's teams; those of no team concern everybody, or administrators if about the store."""
    require_scope(by, Act.READ)
    rows = _rows().filter(Q(team__in=seen_teams(by)) | Q(team__isnull=True))
    if not administers(by):
        rows = rows.exclude(team__isnull=True, kind__in=OF_THE_STORE)
    if kind:
        rows = rows.filter(kind=kind)
    columns = {"state": "state", "kind": "kind", "team": "team__slug"}
    for name, value in (filters or {}).items():
        if value and name in columns:
            rows = rows.filter(**{columns[name]: value})
        elif value and name == "adapter":
            rows = rows.filter(object=f"adapter:{value}")
    return rows


def one(by: Caller, pk: int | str, *, act: Act = Act.READ, kind: str | None = None) -> Job:
    row = _rows().filter(pk=pk, **({"kind": kind} if kind else {})).first()
    if row is None or (row.team is None and row.kind in OF_THE_STORE and not administers(by)):
        raise NotFound(f"No such job: {pk}.")
    if row.team is None:
        require_scope(by, act)
        return row
    return fetch(by, act, _rows(), pk=pk)


def running(by: Caller) -> Job | None:
    """The training job to show first: one that runs, or the last one."""
    rows = listing(by, kind=JobKind.TRAIN)
    return rows.filter(state__in=HELD_JOB_STATES).order_by("pk").first() or rows.order_by("-pk").first()


def queue_position(job: Job) -> int | None:
    """1 for the next one; None where it doesn't wait. `job` comes from this file."""
    ahead: int | None = job.ahead  # type: ignore[attr-defined]
    return None if job.state != JobState.QUEUED else (ahead or 0) + 1


def _rows() -> QuerySet[Job]:
    """Jobs with what a page of them shows, and in `ahead` how many go before one that waits."""
    sooner = Q(priority__gt=OuterRef("priority")) | Q(
        priority=OuterRef("priority"), created_at__lt=OuterRef("created_at")
    )
    waiting = Job.objects.filter(sooner, state=JobState.QUEUED).order_by().values("state")
    ahead = Subquery(waiting.annotate(count=Count("pk")).values("count"))
    return Job.objects.select_related(*TRAINING).annotate(ahead=Case(When(state=JobState.QUEUED, then=ahead)))


def events(job: Job, after: int = 0) -> QuerySet[JobEvent]:
    return JobEvent.objects.filter(job=job, seq__gt=after).order_by("seq")


def curves(job: Job) -> dict[str, list[tuple[int, float]]]:
    """`(step, value)` points by metric."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in JobMetric.objects.filter(job=job).order_by("step"):
        found.setdefault(row.name, []).append((row.step, row.value))
    return found


def logs(job: Job) -> list[str]:
    """The last lines of every child of the job."""
    rows = JobEvent.objects.filter(job=job, kind="log").order_by("seq")
    return [line for row in rows for line in row.data.get("lines", [])]


def made(job: Job) -> AdapterVersion | None:
    """The version that came of the job."""
    return AdapterVersion.objects.select_related("adapter__team").filter(job=job).first()
