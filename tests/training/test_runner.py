"""Attempts in this process, on a database that commits: fences, cancels, failures and repeated messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from registry.choices import FailureClass, JobState
from registry.errors import Unavailable
from registry.models import Adapter, Job, JobEvent
from registry.services import adapters, jobs
from tests.config.waiting import eventually
from tests.training.site import Site
from training import feeder, kinds, runner
from training.context import Commit, Context, JobFailure

Work = Callable[[jobs.Attempt, Context], Commit]


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Callable[[Work], None]:
    """`kind(run)`: what jobs of the kind `sweep` do in this test."""
    return lambda run: monkeypatch.setattr(kinds, "of", lambda _: run)


def naming(site: Site, name: str = "made") -> Commit:
    """A commit that writes one adapter."""

    def commit() -> tuple[dict[str, Any], dict[str, Any]]:
        base = site.base.base_model
        adapters.create(by=site.by, team=site.team, name=name, vertical="healthcare", base_model=base)
        return {"made": name}, {}

    return commit


@contextmanager
def in_thread(job: Job) -> Iterator[threading.Thread]:
    """The runner beside the test, as in a worker's pool."""

    def go() -> None:
        runner.run(job.pk)
        connection.close()

    thread = threading.Thread(target=go)
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()


def made() -> bool:
    return Adapter.objects.filter(name="made").exists()


def test_a_job_succeeds_with_what_it_wrote(site: Site, kind: Any):
    kind(lambda *_: naming(site))
    job = site.queue("sweep")
    runner.run(job.pk)
    assert (site.job(job).state, job.result, made()) == (JobState.SUCCEEDED, {"made": "made"}, True)
    assert not list((site.home / "scratch").iterdir())


def test_a_message_that_comes_again_does_nothing(site: Site, kind: Any):
    runs: list[int] = []
    kind(lambda attempt, _: runs.append(attempt.number) or naming(site))
    job = site.queue("sweep")
    for _ in range(3):
        runner.run(job.pk)
    assert (runs, site.job(job).attempt) == ([1], 1)


def test_many_messages_at_once_give_one_attempt(site: Site, kind: Any):
    kind(lambda *_: naming(site))
    job = site.queue("sweep")
    with in_thread(job), in_thread(job), in_thread(job), in_thread(job):
        pass
    assert (site.job(job).attempt, job.state) == (1, JobState.SUCCEEDED)


def test_an_attempt_that_lost_its_lease_writes_nothing(site: Site, kind: Any, settings: Any):
    settings.LEASE_SECONDS = 0.0
    fenced: list[bool] = []

    def stall(attempt: jobs.Attempt, context: Context) -> Commit:
        if attempt.number == 1:
            assert eventually(lambda: jobs.reclaim() == 1, 5)
            settings.LEASE_SECONDS = 30
            runner.run(attempt.job.pk)  # another worker takes over and ends the job
            fenced.append(True)
        return naming(site, "made" if attempt.number == 2 else "late")

    kind(stall)
    job = site.queue("sweep")
    runner.run(job.pk)
    assert (fenced, site.job(job).attempt, job.state) == ([True], 2, JobState.SUCCEEDED)
    assert made()
    assert not Adapter.objects.filter(name="late").exists()
    assert JobEvent.objects.filter(job=job, kind="succeeded").count() == 1


def test_a_fence_between_commit_and_success_takes_everything_back(site: Site, kind: Any):
    def overtaken(attempt: jobs.Attempt, _: Context) -> Commit:
        commit = naming(site)

        def late() -> tuple[dict[str, Any], dict[str, Any]]:
            done = commit()
            Job.objects.filter(pk=attempt.job.pk).update(attempt=7)
            return done

        return late

    kind(overtaken)
    job = site.queue("sweep")
    runner.run(job.pk)
    assert not made()
    assert site.job(job).state == JobState.COMMITTING


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(site: Site, kind: Any):
    kind(lambda *_: naming(site))
    job = site.queue("sweep")
    assert jobs.cancel(by=site.by, job_id=job.pk).state == JobState.CANCELLED
    runner.run(job.pk)
    assert (site.job(job).attempt, made()) == (0, False)


def test_a_running_job_hears_of_a_cancel_by_its_heartbeat(site: Site, kind: Any):
    going = threading.Event()

    def work(_: jobs.Attempt, context: Context) -> Commit:
        going.set()
        assert eventually(lambda: context.pulse.reason, 10)
        context.check()
        return naming(site)

    kind(work)
    job = site.queue("sweep")
    with in_thread(job):
        going.wait(10)
        jobs.cancel(by=site.by, job_id=job.pk)
    assert (site.job(job).state, made()) == (JobState.CANCELLED, False)


def test_a_cancel_just_before_the_commit_wins(site: Site, kind: Any):
    def work(attempt: jobs.Attempt, _: Context) -> Commit:
        jobs.cancel(by=site.by, job_id=attempt.job.pk)
        return naming(site)

    kind(work)
    job = site.queue("sweep")
    runner.run(job.pk)
    assert (site.job(job).state, made()) == (JobState.CANCELLED, False)


@pytest.mark.parametrize("failure", [FailureClass.USER, FailureClass.DATA, FailureClass.OUT_OF_MEMORY])
def test_what_a_retry_can_not_mend_fails_at_once(site: Site, kind: Any, failure: FailureClass):
    def work(*_: Any) -> Commit:
        raise JobFailure(failure, "bad_row", "Row 3 is broken.", param="dataset")

    kind(work)
    job = site.queue("sweep")
    runner.run(job.pk)
    assert site.job(job).state == JobState.FAILED
    assert job.error == {
        "code": "bad_row",
        "message": "Row 3 is broken.",
        "param": "dataset",
        "retryable": False,
        "class": failure,
    }


@pytest.mark.parametrize("error", [OSError("disk"), KeyError("ours")])
def test_what_the_machine_is_to_blame_for_is_tried_three_times(site: Site, kind: Any, error: Exception):
    def work(*_: Any) -> Commit:
        raise error

    kind(work)
    job = site.queue("sweep")
    for expected in (JobState.QUEUED, JobState.QUEUED, JobState.FAILED):
        runner.run(job.pk)
        assert site.job(job).state == expected
    assert job.error["retryable"] is True


def test_an_outage_of_the_store_costs_no_try(site: Site, kind: Any):
    def work(*_: Any) -> Commit:
        raise Unavailable("The store is away.")

    kind(work)
    job = site.queue("sweep")
    for _ in range(jobs.MAX_LOST + 1):
        runner.run(job.pk)
        assert (site.job(job).state, job.error["message"]) == (JobState.QUEUED, "The store is away.")
    assert job.pk not in jobs.due()  # nor is it sent again at once


def test_progress_between_losses_forgives_them(site: Site, kind: Any):
    def work(attempt: jobs.Attempt, _: Context) -> Commit:
        if attempt.number == 3:
            jobs.checkpoint_files(attempt, 10, {})
        raise OSError("killed")

    kind(work)
    job = site.queue("sweep")
    for _ in range(3):
        runner.run(job.pk)
    assert (site.job(job).state, job.lost_attempts) == (JobState.QUEUED, 1)


def test_a_job_for_more_devices_than_the_worker_has_is_left_to_others(site: Site, kind: Any, settings: Any):
    kind(lambda *_: naming(site))
    job = site.queue("sweep")
    Job.objects.filter(pk=job.pk).update(devices=1)
    runner.run(job.pk)
    assert site.job(job).state == JobState.QUEUED
    settings.DEVICES = ["0"]
    runner.run(job.pk)
    assert site.job(job).state == JobState.SUCCEEDED


def test_a_worker_that_ends_gives_its_job_back_without_a_loss(site: Site, kind: Any, monkeypatch: Any):
    ending = threading.Event()
    monkeypatch.setattr(runner, "shutdown", ending)

    def work(_: jobs.Attempt, context: Context) -> Commit:
        ending.set()
        assert eventually(lambda: context.pulse.reason, 10)
        context.check()
        return naming(site)

    kind(work)
    job = site.queue("sweep")
    runner.run(job.pk)
    assert (site.job(job).state, job.lost_attempts, made()) == (JobState.QUEUED, 0, False)


def test_the_feeder_goes_on_when_one_of_its_parts_fails(site: Site, monkeypatch: Any):
    sent: list[int] = []

    def broken() -> None:
        raise RuntimeError("broken part")

    monkeypatch.setattr(feeder.tasks.run, "delay", sent.append)
    monkeypatch.setattr(feeder, "PARTS", [broken, feeder.send])
    job = site.queue("sweep")
    feeder.feed()
    feeder.feed()
    assert sent == [job.pk], "sent once, and not again at once"


def test_a_broker_that_is_away_loses_nothing(site: Site, monkeypatch: Any):
    def away(_: int) -> None:
        raise ConnectionError("no broker")

    job = site.queue("sweep")
    monkeypatch.setattr(feeder, "PARTS", [feeder.send])
    monkeypatch.setattr(feeder.tasks.run, "delay", away)
    feeder.feed()
    assert (site.job(job).sent_at, jobs.due()) == (None, [job.pk])


def test_in_memory_no_more_is_sent_than_there_is_room_for(site: Site, monkeypatch: Any):
    sent: list[int] = []
    monkeypatch.setattr(feeder.tasks.run, "delay", sent.append)
    first, urgent = site.queue("sweep"), site.queue("sweep")
    Job.objects.filter(pk=urgent.pk).update(priority=5)
    feeder.send()
    assert sent == [urgent.pk]
    assert site.job(first).sent_at is None


def test_a_lost_job_is_fed_again_and_its_room_is_cleared(site: Site):
    job = site.queue("sweep")
    jobs.claim(job.pk, owner="gone")
    Job.objects.filter(pk=job.pk).update(lease_until="2001-01-01T00:00:00Z")
    left = site.home / "scratch" / f"{job.pk}-1"
    left.mkdir(parents=True)
    feeder.reclaim()
    assert site.job(job).state == JobState.QUEUED
    assert not left.exists()
