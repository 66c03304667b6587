"""A real Celery worker with its feeder and real training children: what dies, and what comes of it."""

from __future__ import annotations

import os
import signal

from registry.choices import JobState
from registry.models import Alias, AuditEvent, AuditSeal, JobEvent, Worker
from tests.config.waiting import alive, eventually
from tests.training.site import PATIENCE, Site, child_of

SLOW = {"steps": 4000, "checkpoint_seconds": 0.3, "validate_every": 4000}


def test_it_trains_a_version_and_promotes_what_passed_its_gate(site: Site):
    gate = [{"metric": "loss", "op": "<=", "relative_to": "base"}]
    job = site.submit(gate=gate, promote_to="production", recipe={"steps": 30, "learning_rate": 0.01})
    with site.worker():
        site.wait(job, JobState.SUCCEEDED, JobState.FAILED)
        assert eventually(lambda: AuditSeal.objects.count() == AuditEvent.objects.count() > 0, 30)
    assert job.state == JobState.SUCCEEDED, job.error
    (version,) = site.versions(job)
    assert job.training.gate_result["passed"] is True
    assert Alias.objects.get(name="production").version == version
    assert (version.peft_loadable, version.number, version.status) == (True, 1, "ready")
    assert job.progress["step"] == 30
    assert job.result["training"]["test_loss"] < job.result["training"]["base_test_loss"]
    assert job.metrics.filter(name="loss").count() == 30
    assert job.cost["device_seconds"] > 0
    assert not Worker.objects.exists()  # it ended as asked, and so it left
    seqs = list(JobEvent.objects.filter(job=job).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))


def test_it_resumes_after_its_child_and_then_the_worker_are_killed(site: Site):
    job = site.submit(recipe={**SLOW, "steps": 300})
    with site.worker() as worker:
        assert eventually(job.checkpoints.exists, PATIENCE), site.log()
        child_of(worker).send_signal(signal.SIGKILL)
        assert eventually(lambda: site.job(job).attempt >= 2, PATIENCE), site.log()
        child = child_of(worker)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        assert eventually(lambda: not alive(child.pid), 30), "the child outlived its worker"
    assert list((site.home / "scratch").iterdir())
    with site.worker():
        site.wait(job, JobState.SUCCEEDED, JobState.FAILED)
        assert not [one for one in (site.home / "scratch").iterdir() if one.name != f"{job.pk}-{job.attempt}"]
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.attempt >= 3
    assert len(site.versions(job)) == 1
    steps = [e.data["step"] for e in JobEvent.objects.filter(job=job, kind="checkpoint").order_by("seq")]
    assert steps == sorted(set(steps)), "a step was trained twice"


def test_it_stops_a_cancelled_run_and_releases_its_jobs_when_it_is_asked_to_end(site: Site):
    from registry.services import jobs

    cancelled, released = site.submit(recipe=SLOW), site.submit(recipe=SLOW)
    with site.worker() as worker:
        site.step(cancelled)
        jobs.cancel(by=site.by, job_id=cancelled.pk)
        site.wait(cancelled, JobState.CANCELLED)
        site.step(released)
        worker.terminate()
        assert worker.wait(60) == 0, site.log()
    assert (site.job(released).state, released.lost_attempts) == (JobState.QUEUED, 0)
    assert not site.versions(cancelled)
    assert not cancelled.checkpoints.exists()
    assert released.checkpoints.exists()
