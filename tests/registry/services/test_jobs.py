from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from registry.access import SYSTEM
from registry.choices import JobKind
from registry.errors import Fenced
from registry.models import AuditEvent, Job
from registry.services import jobs


def queue(team, **late):
    with transaction.atomic():
        deadline = timezone.now() + timedelta(**late)
        return jobs.create(by=SYSTEM, kind=JobKind.SWEEP, team=team, payload={}, deadline=deadline)


def test_it_fails_what_waits_past_its_deadline(world):
    job, other = queue(world.health, seconds=-1), queue(world.health, hours=1)
    assert (jobs.expire(), jobs.expire()) == (1, 0)
    job.refresh_from_db()
    assert (job.state, job.error["code"], job.finished_at is None) == ("failed", "deadline_passed", False)
    assert AuditEvent.objects.get(action="job.failed").object == f"job:{job.pk}"
    assert Job.objects.get(pk=other.pk).state == "queued"


def test_it_stops_what_runs_past_its_deadline(world):
    attempt = jobs.claim(queue(world.health, seconds=-1).pk, owner="w")
    jobs.start(attempt)
    assert jobs.expire() == 1
    with pytest.raises(Fenced):
        jobs.heartbeat(attempt)


def test_it_lets_a_commit_end(world):
    attempt = jobs.claim(queue(world.health, seconds=-1).pk, owner="w")
    jobs.start(attempt)
    assert jobs.committing(attempt)
    assert jobs.expire() == 0
