"""The life of a job, from the queue to its one final state.

The row is the truth. A worker claims it by a conditional UPDATE that raises `attempt`, the fencing
token; every later write says for which attempt it speaks, and a write that finds no row stops the
worker (`Fenced`). Leases run by the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Now

from registry.access import SYSTEM, Act, Caller, fetch
from registry.choices import FINAL_JOB_STATES, HELD_JOB_STATES, JOB_TRANSITIONS, FailureClass, JobKind, JobState
from registry.errors import Conflict, Fenced
from registry.models import Job, JobCheckpoint, JobEvent, JobMetric, Manifest, Team
from registry.services import artifacts, audit, unfinished

MAX_LOST = 3
RESEND_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class Attempt:
    """One execution of a job by one worker; it may write as long as the row says the same attempt."""

    job: Job
    number: int

    @property
    def rows(self) -> QuerySet[Job]:
        return Job.objects.filter(pk=self.job.pk, attempt=self.number, state__in=HELD_JOB_STATES)


def create(
    *,
    by: Caller,
    kind: JobKind,
    team: Team | None,
    payload: dict[str, Any],
    obj: str = "",
    priority: int = 0,
    devices: int = 0,
    retry_of: Job | None = None,
    deadline: Any = None,
) -> Job:
    """Queue work; call it in the transaction of whatever the job is for. The feeder finds it there."""
    job = Job.objects.create(
        kind=kind,
        team=team,
        payload=payload,
        object=obj,
        priority=priority,
        devices=devices,
        deadline=deadline,
        retry_of=retry_of,
        created_by=by.person,
        on_behalf_of=by.on_behalf_of,
        event_counter=1,
    )
    JobEvent.objects.create(job=job, seq=1, kind="queued", data={})
    audit.record(by, "job.create", f"job:{job.pk}", team=team, after={"kind": kind, "object": obj})
    return job


def add_event(job: Job, kind: str, data: dict[str, Any]) -> JobEvent:
    """Append an event; `seq` has no gap because the counter moves in the same transaction."""
    with transaction.atomic():
        Job.objects.filter(pk=job.pk).update(event_counter=F("event_counter") + 1)
        seq = Job.objects.values_list("event_counter", flat=True).get(pk=job.pk)
        return JobEvent.objects.create(job=job, seq=seq, kind=kind, data=data)


# What the worker does -------------------------------------------------------------------------------


def claim(job_id: int, *, owner: str) -> Attempt | None:
    """Take a queued job for `owner`, or None where somebody was first or it is not queued."""
    with transaction.atomic():
        taken = Job.objects.filter(pk=job_id, state=JobState.QUEUED).update(
            state=JobState.CLAIMED,
            attempt=F("attempt") + 1,
            owner=owner,
            lease_until=_lease(),
            started_at=Now(),
        )
        if taken != 1:
            return None
        job = Job.objects.select_related("team").get(pk=job_id)
        add_event(job, "claimed", {"owner": owner, "attempt": job.attempt})
    return Attempt(job, job.attempt)


def start(attempt: Attempt) -> None:
    """The attempt has its inputs and begins."""
    with transaction.atomic():  # a worker that sleeps between the two must not wake up and write the second
        _write(attempt, state=JobState.RUNNING, lease_until=_lease())
        add_event(attempt.job, "running", {"attempt": attempt.number})


def heartbeat(attempt: Attempt, progress: dict[str, Any] | None = None) -> bool:
    """Extend the lease and report progress; returns whether cancelling was asked. Raises `Fenced`."""
    fields: dict[str, Any] = {"lease_until": _lease()}
    if progress:
        fields["progress"] = progress
    _write(attempt, **fields)
    return bool(Job.objects.values_list("cancel_requested", flat=True).get(pk=attempt.job.pk))


def event(attempt: Attempt, kind: str, data: dict[str, Any]) -> None:
    """An event of a living attempt; a fenced one writes nothing."""
    with transaction.atomic():
        _write(attempt, lease_until=_lease())
        add_event(attempt.job, kind, data)


def metrics(attempt: Attempt, points: Sequence[tuple[str, int, float]]) -> None:
    """``(name, step, value)`` points; a step measured twice keeps its first value."""
    rows = [JobMetric(job=attempt.job, name=name, step=step, value=value) for name, step, value in points]
    with transaction.atomic():
        _write(attempt, lease_until=_lease())  # holds the fence until the points are in
        JobMetric.objects.bulk_create(rows, ignore_conflicts=True)


def checkpoint_files(attempt: Attempt, step: int, files: Mapping[str, artifacts.Stored]) -> None:
    """Keep stored files as the place where a retry resumes. Progress forgives earlier losses."""
    with transaction.atomic():
        _write(attempt, lost_attempts=0, lease_until=_lease())
        manifest = artifacts.commit_manifest(files)
        JobCheckpoint.objects.get_or_create(job=attempt.job, step=step, defaults={"manifest": manifest})
        JobCheckpoint.objects.filter(job=attempt.job, step__lt=step).delete()


def latest_checkpoint(job: Job) -> Manifest | None:
    """The files of the furthest checkpoint."""
    row = JobCheckpoint.objects.select_related("manifest").filter(job=job).order_by("-step").first()
    return row.manifest if row else None


def committing(attempt: Attempt) -> bool:
    """The results are being stored, and a cancel comes too late from here; False where one came before."""
    with transaction.atomic():
        if attempt.rows.filter(cancel_requested=False).update(state=JobState.COMMITTING, lease_until=_lease()):
            add_event(attempt.job, "committing", {})
            return True
    if attempt.rows.filter(cancel_requested=True).exists():
        return False
    raise Fenced(f"job {attempt.job.pk} attempt {attempt.number}")


def succeed(attempt: Attempt, *, result: dict[str, Any], cost: dict[str, Any]) -> None:
    """Call it in the transaction that writes what the job made."""
    _write(attempt, state=JobState.SUCCEEDED, result=result, cost=cost, error=None, **_ended())
    _close(attempt.job, "succeeded", result)


def fail(attempt: Attempt, *, failure: FailureClass, code: str, message: str, param: str | None = None) -> None:
    """End the attempt in failure; infrastructure goes back to the queue while tries are left."""
    retryable = failure is FailureClass.INFRASTRUCTURE
    error = {"code": code, "message": message[:2000], "param": param, "retryable": retryable, "class": failure}
    with transaction.atomic():
        # Read now: a checkpoint of this very attempt forgave the losses before it.
        if retryable and attempt.rows.filter(lost_attempts__lt=MAX_LOST - 1).exists():
            _write(attempt, **_requeued(), error=error)
            add_event(attempt.job, "requeued", error)
            return
        _write(attempt, state=JobState.FAILED, error=error, **_ended())
        _close(attempt.job, "failed", error)


def cancelled(attempt: Attempt) -> None:
    """The worker stopped because cancelling was asked."""
    with transaction.atomic():
        _write(attempt, state=JobState.CANCELLED, **_ended())
        _close(attempt.job, "cancelled", {})


def release(attempt: Attempt) -> None:
    """The worker shuts down: back to the queue, with no try lost."""
    with transaction.atomic():
        _write(attempt, **{**_requeued(), "lost_attempts": F("lost_attempts")})
        add_event(attempt.job, "requeued", {"code": "worker_stopped"})


def postpone(attempt: Attempt, *, code: str, message: str) -> None:
    """The store is away or full: back to the queue, with no try lost, and not sent again at once."""
    error = {"code": code, "message": message[:2000], "param": None, "retryable": True}
    error["class"] = FailureClass.INFRASTRUCTURE
    with transaction.atomic():
        _write(attempt, **{**_requeued(), "lost_attempts": F("lost_attempts"), "sent_at": Now()}, error=error)
        add_event(attempt.job, "requeued", error)


# What people do -------------------------------------------------------------------------------------


def cancel(*, by: Caller, job_id: int | str) -> Job:
    """Ask for the end of a job; one that still waits ends at once."""
    with transaction.atomic():
        job = fetch(by, Act.TRAIN, Job.objects.all(), pk=job_id)
        before = job.state
        if Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(state=JobState.CANCELLED, **_ended()):
            _close(job, "cancelled", {})
        elif not Job.objects.filter(pk=job.pk, state__in=(JobState.CLAIMED, JobState.RUNNING)).update(
            cancel_requested=True
        ):
            job.refresh_from_db()
            raise Conflict(
                f"Job {job.pk} is {job.state}; only a waiting or running job can be cancelled.",
                allowed=JOB_TRANSITIONS[job.state],
            )
        audit.record(by, "job.cancel", f"job:{job.pk}", team=job.team, before={"state": before})
        job.refresh_from_db()
        return job


# What the feeder does -------------------------------------------------------------------------------


def due(limit: int = 100) -> list[int]:
    """Ids of queued jobs that were not sent lately, in order: priority, then age."""
    waiting = Job.objects.filter(state=JobState.QUEUED).filter(
        Q(sent_at__isnull=True) | Q(sent_at__lt=Now() - Value(RESEND_AFTER))
    )
    return list(waiting.order_by("-priority", "created_at", "pk").values_list("pk", flat=True)[:limit])


def suits(job_id: int, *, devices: int) -> bool:
    """Whether a worker with that many devices may take the job; one that needs none runs anywhere."""
    return Job.objects.filter(pk=job_id, devices__lte=devices).exists()


def held() -> set[str]:
    """`<job>-<attempt>` of every attempt that holds its job now."""
    rows = Job.objects.filter(state__in=HELD_JOB_STATES).values_list("pk", "attempt")
    return {f"{job_id}-{attempt}" for job_id, attempt in rows}


def mark_sent(job_id: int) -> None:
    Job.objects.filter(pk=job_id, state=JobState.QUEUED).update(sent_at=Now())


def reclaim() -> int:
    """Jobs whose lease ran out: back to the queue, or failed as lost after three tries without a checkpoint."""
    count = 0
    for job in Job.objects.filter(state__in=HELD_JOB_STATES, lease_until__lt=Now()).select_related("team"):
        with transaction.atomic():
            expired = Job.objects.filter(
                pk=job.pk, attempt=job.attempt, state__in=HELD_JOB_STATES, lease_until__lt=Now()
            )
            count += _give_up(job, expired)
    return count


def expire() -> int:
    """Jobs that did not end in time fail; a worker that is at one learns it at its next heartbeat.

    What is being committed is let go on: it has all but ended.
    """
    late = Job.objects.filter(deadline__lt=Now(), state__in=(JobState.QUEUED, JobState.CLAIMED, JobState.RUNNING))
    count = 0
    for job in late.select_related("team", "created_by"):
        error = {
            "code": "deadline_passed",
            "message": f"It did not end before its deadline, {job.deadline:%Y-%m-%d %H:%M:%S} UTC.",
            "param": "deadline",
            "retryable": False,
            "class": FailureClass.USER,
        }
        with transaction.atomic():
            if late.filter(pk=job.pk).update(state=JobState.FAILED, error=error, **_ended()):
                _close(job, "failed", error)
                count += 1
    return count


def _give_up(job: Job, expired: QuerySet[Job]) -> int:
    if job.cancel_requested:
        ended = expired.update(state=JobState.CANCELLED, **_ended())
        if ended:
            _close(job, "cancelled", {})
        return ended
    if job.lost_attempts + 1 >= MAX_LOST:
        error = {
            "code": "lost",
            "message": f"Its worker was lost {MAX_LOST} times without a new checkpoint.",
            "param": None,
            "retryable": True,
            "class": FailureClass.INFRASTRUCTURE,
        }
        ended = expired.update(state=JobState.FAILED, error=error, **_ended())
        if ended:
            _close(job, "failed", error)
        return ended
    ended = expired.update(**_requeued())
    if ended:
        add_event(job, "requeued", {"code": "worker_lost", "owner": job.owner})
    return ended


# ----------------------------------------------------------------------------------------------------


def cost(device_seconds: float) -> dict[str, Any]:
    """``{device_seconds, amount, currency}`` at the installation's price."""
    return {
        "device_seconds": round(device_seconds, 3),
        "amount": round(device_seconds / 3600 * settings.DEVICE_HOUR_PRICE, 6),
        "currency": settings.CURRENCY,
    }


def _lease() -> Any:
    return Now() + Value(timedelta(seconds=settings.LEASE_SECONDS))


def _ended() -> dict[str, Any]:
    return {"finished_at": Now(), "lease_until": None}


def _requeued() -> dict[str, Any]:
    return {
        "state": JobState.QUEUED,
        "owner": "",
        "lease_until": None,
        "sent_at": None,
        "lost_attempts": F("lost_attempts") + 1,
    }


def _write(attempt: Attempt, **fields: Any) -> None:
    if attempt.rows.update(**fields) != 1:
        raise Fenced(f"job {attempt.job.pk} attempt {attempt.number}")


def _close(job: Job, outcome: str, data: dict[str, Any]) -> None:
    """At a final state: the last event, the checkpoints released, what it was to make ended with it, the audit."""
    add_event(job, outcome, data)
    JobCheckpoint.objects.filter(job=job).delete()
    if outcome != "succeeded":
        unfinished.end(job, str(data.get("message") or f"Its job was {outcome}."))
    by = SYSTEM.behalf(job.on_behalf_of or (job.created_by.email if job.created_by else ""))
    audit.record(by, f"job.{outcome}", f"job:{job.pk}", team=job.team, after={"kind": job.kind, **data})


def is_final(state: str) -> bool:
    return state in FINAL_JOB_STATES
