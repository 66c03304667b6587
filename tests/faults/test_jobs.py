"""Nothing lost, nothing done twice, whatever dies: the broker, the training child, the worker, its lease."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from registry.access import SYSTEM
from registry.choices import JobState
from registry.models import AdapterVersion, DatasetVersion, Job, JobEvent
from registry.services import base_models, training
from tests.config.waiting import eventually
from tests.faults.site import Site, counts, redis_server
from tests.make import make_adapter

JOBS = 40
RECIPE = {"rank": 2, "steps": 8, "batch_size": 2, "max_length": 64, "warmup_steps": 0, "validate_every": 2}


@pytest.mark.soak
def test_a_broker_that_forgets_and_dies_loses_no_job(site: Site) -> None:
    for number in range(JOBS):
        site.dataset(f"notes-{number}")
    site.worker("a")
    assert eventually(lambda: Job.objects.filter(state=JobState.SUCCEEDED).count() >= 2, 120), site.logs()
    for _ in range(3):
        site.broker.flushall()
        time.sleep(0.3)
    restarts = site.running.supervisor.facts("redis")["restarts"]
    redis_server(site.running).kill()
    left = Job.objects.exclude(state=JobState.SUCCEEDED).count()
    assert eventually(lambda: site.running.supervisor.facts("redis")["restarts"] > restarts)
    assert site.all_final(150), site.logs()
    print(f"broker: {left} of {JOBS} jobs were left at the kill; {counts()}")  # noqa: T201
    assert left > 0, "the faults came after everything was done"
    assert (counts()["succeeded"], counts()["lost"], counts()["twice"]) == (JOBS, 0, 0)
    assert DatasetVersion.objects.filter(status="ready").count() == JOBS


@pytest.mark.soak
def test_a_killed_child_and_a_killed_worker_leave_one_version(site: Site, settings: Any) -> None:
    base, dataset = site.base(settings), site.dataset("notes", rows=40)
    first = site.worker("a", concurrency=1)
    site.wait(base.job, "succeeded")
    site.wait(dataset.job, "succeeded")
    base.refresh_from_db()
    dataset.refresh_from_db()
    base_models.activate(by=SYSTEM, version=base)
    adapter = make_adapter(site.team, base=base)
    job = training.submit(by=SYSTEM, request=training.Request(adapter=adapter, dataset=dataset, recipe=RECIPE))
    first.child().kill()
    site.wait(job, "queued", "claimed", "running")
    assert eventually(lambda: Job.objects.get(pk=job.pk).attempt == 2, 120), site.logs()
    first.child()
    first.kill()
    began = time.monotonic()
    site.worker("b", concurrency=1)
    assert eventually(lambda: Job.objects.get(pk=job.pk).attempt == 3, 120), site.logs()
    back = time.monotonic() - began
    site.wait(job, "succeeded", "failed")
    print(f"kills: back {back:.1f} s after the worker died, with a new worker's start; {counts()}")  # noqa: T201
    assert job.state == "succeeded", job.error
    assert AdapterVersion.objects.filter(job=job).count() == 1
    assert (counts()["lost"], counts()["twice"]) == (0, 0)


@pytest.mark.soak
def test_a_worker_that_slept_past_its_lease_writes_nothing(site: Site) -> None:
    version = site.dataset("long", rows=15_000)
    sleeper = site.worker("sleeper", concurrency=1)
    job = site.wait(version.job, "running")
    os.kill(sleeper.process.pid, signal.SIGSTOP)
    site.worker("other", concurrency=1)
    site.wait(job, "succeeded")
    before = _written(version)
    os.kill(sleeper.process.pid, signal.SIGCONT)
    assert eventually(lambda: "was fenced, nothing written" in sleeper.log, 120), sleeper.log
    print(f"fence: 1 fenced, {int(_written(version) != before)} late writes; {counts()}")  # noqa: T201
    assert job.attempt == 2
    assert _written(version) == before
    assert counts()["twice"] == 0


def _written(version: DatasetVersion) -> tuple[object, ...]:
    """The rows that a late attempt could touch."""
    job = Job.objects.filter(pk=version.job_id).values().get()
    events = list(JobEvent.objects.filter(job_id=version.job_id).values_list("seq", "kind"))
    return job, events, DatasetVersion.objects.filter(pk=version.pk).values().get()
