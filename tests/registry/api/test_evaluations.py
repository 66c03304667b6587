from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.choices import FailureClass
from registry.models import Evaluation, Job
from registry.services import evaluations as services
from registry.services import jobs
from tests.make import make_base_version, make_dataset_version, make_version

pytestmark = pytest.mark.usefixtures("store")
PATH = "/api/v1/evaluations"


@pytest.fixture
def body(world):
    make_version(world.health)
    make_dataset_version(world.health)
    return {"subjects": ["health/triage@1", "llama@1"], "datasets": ["health/notes"]}


def post(api, body, who="alice"):
    return api(who).post(PATH, body, format="json")


def test_it_queues_one_job_for_all_pairs(api, body, world):
    make_dataset_version(world.health, name="second")
    answer = post(api, {**body, "datasets": ["health/notes@1", "health/second"]})
    told = answer.json()
    assert (answer.status_code, Job.objects.count(), len(told["results"])) == (202, 1, 4)
    assert {row["subject"] for row in told["results"]} == {"health/triage@1", "llama@1"}
    one = api("bob").get(f"{PATH}/{told['results'][0]['id']}").json()
    assert (one["state"], one["loss"], one["split"], one["job"]) == ("queued", None, "test", told["job"])


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401), ("erin", 202)])
def test_only_editors_ask(api, body, who, status):
    assert post(api, body, who).status_code == status
    assert Evaluation.objects.exists() == (status == 202)


def test_a_split_without_rows_is_refused_at_once(api, body, world):
    make_dataset_version(world.health, "few", splits={"train": 9, "validation": 1, "test": 0})
    body = {**body, "datasets": ["health/few"]}
    answer = post(api, body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "no_rows")
    assert post(api, {**body, "split": "train"}).status_code == 202


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"subjects": ["health/triage@9"]}, 404, "subjects"),
        ({"subjects": ["finance/triage"]}, 404, "subjects"),
        ({"subjects": ["nobody@1"]}, 404, "subjects"),
        ({"subjects": []}, 422, "subjects"),
        ({"datasets": ["health/nothing"]}, 404, "datasets"),
        ({"split": "all"}, 422, "split"),
        ({"on_base": "llama@9"}, 404, "on_base"),
    ],
)
def test_it_names_what_is_wrong(api, body, change, status, param):
    answer = post(api, {**body, **change})
    assert (answer.status_code, answer.json()["param"]) == (status, param), answer.json()
    assert not Job.objects.exists()


def test_an_adapter_is_not_measured_on_a_base_of_other_shapes(api, body):
    make_base_version(shape_fingerprint="6" * 64)
    answer = post(api, {**body, "subjects": ["health/triage@1"], "on_base": "llama@2"})
    assert (answer.status_code, answer.json()["code"]) == (409, "shape_differs")


def test_others_see_nothing_of_it(api, body):
    told = post(api, body).json()
    assert api("charlie").get(f"{PATH}/{told['results'][0]['id']}").status_code == 404
    assert api("charlie").get(PATH).json()["results"] == []
    assert len(api("bob").get(f"{PATH}?job={told['job']}").json()["results"]) == 2


def test_it_answers_with_an_evaluation(api, body):
    told = post(api, body).json()
    one = api("bob").get(f"{PATH}/{told['id']}").json()
    assert {name: told[name] for name in one} == one
    assert (told["id"], told["job"]) == (told["results"][0]["id"], one["job"])


def states(api, told):
    return {api("bob").get(f"{PATH}/{row['id']}").json()["state"] for row in told["results"]}


def test_it_runs_while_its_job_runs(api, body):
    told = post(api, body).json()
    jobs.start(jobs.claim(int(told["job"]), owner="w"))
    assert states(api, told) == {"running"}
    assert len(api("bob").get(f"{PATH}?state=running").json()["results"]) == 2
    assert api("bob").get(f"{PATH}?state=queued").json()["results"] == []


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost"])
def test_it_ends_with_its_job(api, body, end):
    told = post(api, body).json()
    attempt = jobs.claim(int(told["job"]), owner="w")
    if end == "failed":
        jobs.fail(attempt, failure=FailureClass.DATA, code="x", message="no rows")
    elif end == "cancelled":
        jobs.cancelled(attempt)
    else:
        Job.objects.update(lost_attempts=jobs.MAX_LOST, lease_until=timezone.now() - timedelta(seconds=1))
        jobs.reclaim()
    assert states(api, told) == {"failed" if end == "lost" else end}


@pytest.mark.parametrize(
    ("status", "answer"), [("archived", 202), ("verifying", 409), ("quarantined", 409), ("withdrawn", 409)]
)
def test_it_measures_only_what_was_checked_and_is_there(api, body, world, status, answer):
    made = make_version(world.health, status=status)
    refused = post(api, {**body, "subjects": [made.address]})
    assert refused.status_code == answer
    assert answer == 202 or (refused.json()["code"], refused.json()["param"]) == ("version_not_ready", "subjects")


RIGHT = {"name": "right", "kind": "exact"}


def test_it_asks_what_the_suite_checks(api, body):
    told = post(api, {**body, "checks": [RIGHT], "max_rows": 7, "max_tokens": 9}).json()
    suite = Job.objects.get(pk=told["job"]).payload["suite"]
    assert (suite["checks"][0]["name"], suite["max_rows"], suite["max_tokens"]) == ("right", 7, 9)


def test_it_answers_with_the_shares_that_passed(api, body):
    told = post(api, {**body, "checks": [RIGHT]}).json()
    attempt = jobs.claim(int(told["job"]), owner="w")
    found = {"loss": 1.0, "checks": {"right": 0.5}, "checked_rows": 2}
    rows = Evaluation.objects.filter(job=attempt.job)
    services.measured(attempt.job, {(row.adapter_version_id, row.dataset_version_id): found for row in rows})
    one = api("bob").get(f"{PATH}/{told['id']}").json()
    assert (one["checks"], one["checked_rows"], one["loss"]) == ({"right": 0.5}, 2, 1.0)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"checks": [{"name": "a", "kind": "judge"}]}, "checks[0].kind"),
        ({"checks": [RIGHT, RIGHT]}, "checks[1].name"),
        ({"checks": [{"name": "a", "kind": "regex", "value": "["}]}, "checks[0].value"),
        ({"checks": [RIGHT], "max_rows": 1001}, "max_rows"),
        ({"checks": [RIGHT], "max_tokens": 0}, "max_tokens"),
    ],
)
def test_it_refuses_a_suite_that_makes_no_sense(api, body, change, param):
    answer = post(api, {**body, **change})
    assert (answer.status_code, [one["param"] for one in answer.json()["errors"]]) == (422, [param])
    assert not Job.objects.exists()
