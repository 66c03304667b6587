from __future__ import annotations

import pytest
from django.db import transaction

from registry.access import SYSTEM
from registry.choices import FailureClass, JobKind
from registry.services import jobs

JOBS = "/api/v1/jobs"


@pytest.fixture
def job(world):
    with transaction.atomic():
        return jobs.create(by=SYSTEM, kind=JobKind.SWEEP, team=world.health, payload={})


def test_it_tells_what_every_job_tells(api, job):
    told = api("bob").get(f"{JOBS}/{job.pk}").json()
    assert {"id", "kind", "state", "attempt", "progress", "error", "object"} <= set(told)
    assert (told["id"], told["kind"], told["state"], told["error"]) == (str(job.pk), "sweep", "queued", None)


def test_another_teams_job_is_not_there(api, job):
    assert api("charlie").get(f"{JOBS}/{job.pk}").status_code == 404
    assert api("charlie").get(JOBS).json()["results"] == []
    assert api(None).get(f"{JOBS}/{job.pk}").status_code == 401


def test_a_job_of_no_team_is_everybodys(api, world):
    with transaction.atomic():
        row = jobs.create(by=SYSTEM, kind=JobKind.INGEST_BASE, team=None, payload={})
    assert api("charlie").get(f"{JOBS}/{row.pk}").json()["kind"] == "ingest_base"


def test_it_says_why_a_job_failed(api, job):
    attempt = jobs.claim(job.pk, owner="w")
    jobs.fail(attempt, failure=FailureClass.DATA, code="bad_row", message="Row 3 is broken.", param="file")
    told = api("bob").get(f"{JOBS}/{job.pk}").json()
    assert told["state"] == "failed"
    assert told["error"] == {
        "code": "bad_row",
        "message": "Row 3 is broken.",
        "param": "file",
        "retryable": False,
    }


@pytest.mark.parametrize(("query", "count"), [("state=queued", 1), ("state=failed", 0), ("kind=sweep", 1)])
def test_it_filters(api, job, query, count):
    assert len(api("bob").get(f"{JOBS}?{query}").json()["results"]) == count


def test_a_number_beyond_all_numbers_is_not_found(api, job):
    assert api("bob").get(f"{JOBS}/{10**30}").status_code == 404
