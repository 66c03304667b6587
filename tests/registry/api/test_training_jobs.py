from __future__ import annotations

import json

import pytest

from registry.models import Job, JobEvent, JobMetric, TrainingSpec
from registry.services import jobs
from tests.make import make_adapter, make_base_version, make_dataset_version, make_version

pytestmark = pytest.mark.usefixtures("store")
JOBS = "/api/v1/training-jobs"


@pytest.fixture
def body(world):
    make_adapter(world.health)
    make_dataset_version(world.health)
    return {"adapter": "health/triage", "dataset": "health/notes@1", "recipe": {"rank": 2, "steps": 5}}


def post(api, body, who="alice", path="", **headers):
    return api(who).post(f"{JOBS}{path}", body, format="json", **headers)


def test_it_queues_a_job_with_a_whole_recipe(api, body):
    answer = post(api, body)
    job = answer.json()
    assert (answer.status_code, job["state"], job["queue_position"], job["attempt"]) == (202, "queued", 1, 0)
    assert (job["adapter"], job["dataset"]) == ("health/triage", "health/notes@1")
    assert job["base"] == {"model": "llama", "version": 1}
    assert (job["recipe"]["rank"], job["recipe"]["alpha"], len(job["recipe_sha256"])) == (2, 4.0, 64)
    for empty in ("gate_result", "result", "error", "retry_of"):
        assert job[empty] is None
    assert set(job["cost"]) == {"device_seconds", "amount", "currency"}


def test_a_dry_run_estimates_and_queues_nothing(api, body):
    answer = post(api, body, path="?dry_run=true")
    told = answer.json()
    assert (answer.status_code, Job.objects.count(), told["already_trained"]) == (200, 0, None)
    trained = 2 * (8 + 8) * 8  # rank x (in + out) x modules
    assert told["estimate"]["trainable_parameters"] == trained
    assert told["estimate"]["steps"] == 5
    wanted = {
        "tokens",
        "share_of_base",
        "adapter_bytes",
        "full_copy_bytes",
        "peak_memory_bytes",
        "device_seconds",
        "cost",
    }
    assert all(told["estimate"][name] >= 0 for name in wanted)


def test_a_dry_run_says_what_was_trained_already(api, body, world):
    job = Job.objects.get(pk=post(api, body).json()["id"])
    spec = job.training
    version = make_version(world.health, job=job, dataset_version=spec.dataset_version, base=spec.base_version)
    assert post(api, body, path="?dry_run=true").json()["already_trained"] == version.address


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401), ("erin", 202)])
def test_only_editors_submit(api, body, who, status):
    assert post(api, body, who).status_code == status
    assert Job.objects.count() == (status == 202)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"adapter": "health/other"}, 404, "adapter"),
        ({"adapter": "finance/triage"}, 404, "adapter"),
        ({"adapter": "No Such!"}, 422, "adapter"),
        ({"dataset": "health/other"}, 404, "dataset"),
        ({"dataset": "health/notes@9"}, 404, "dataset"),
        ({"dataset": None}, 422, "dataset"),
        ({"base_version": 9}, 404, "base_version"),
        ({"base_version": "new"}, 422, "base_version"),
        ({"base_version": 10**30}, 422, "base_version"),
        ({"evaluation_dataset": "health/other"}, 404, "evaluation_dataset"),
        ({"recipe": {"rank": 0}}, 422, "recipe.rank"),
        ({"recipe": {"rnak": 4}}, 422, "recipe.rnak"),
        ({"recipe": {"targets": ["nothing"]}}, 422, "recipe.targets"),
        ({"recipe": {"warm_start": "health/triage@4"}}, 404, "recipe.warm_start"),
        ({"recipe": {"warm_start": "finance/triage@1"}}, 404, "recipe.warm_start"),
        ({"recipe": []}, 422, "recipe"),
        ({"gate": [{"metric": "magic", "op": "<=", "value": 1}]}, 422, "gate[0].metric"),
        ({"gate": [7]}, 422, "gate[0]"),
        ({"promote_to": "Not A Slug"}, 422, "promote_to"),
        ({"priority": "high"}, 422, "priority"),
        ({"deadline": "tomorrow"}, 422, "deadline"),
    ],
)
def test_it_names_what_is_wrong(api, body, change, status, param):
    answer = post(api, {**body, **change})
    assert (answer.status_code, answer.json()["param"]) == (status, param), answer.json()
    assert Job.objects.count() == 0


def test_it_names_all_faults_of_a_recipe_at_once(api, body):
    answer = post(api, {**body, "recipe": {"rank": 0, "dropout": 2, "rnak": 1}}).json()
    assert {error["param"] for error in answer["errors"]} == {"recipe.rank", "recipe.dropout", "recipe.rnak"}


def test_it_refuses_a_dataset_that_is_not_ready_and_a_base_that_is_not_active(api, body, world):
    make_dataset_version(world.health, status="rejected")
    answer = post(api, {**body, "dataset": "health/notes@2"})
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_not_ready")
    make_base_version(status="draft")
    answer = post(api, {**body, "base_version": 2})
    assert (answer.status_code, answer.json()["code"]) == (409, "base_not_active")


def test_only_who_may_publish_has_a_job_promote(api, body):
    assert post(api, {**body, "promote_to": "production"}, "erin").status_code == 403
    assert post(api, {**body, "promote_to": "production"}, "alice").status_code == 202


def test_a_warm_start_is_pinned_when_the_job_is_submitted(api, body, world):
    make_version(world.health)
    job = post(api, {**body, "recipe": {**body["recipe"], "warm_start": "health/triage"}}).json()
    assert job["recipe"]["warm_start"] == "health/triage@1"


def test_a_repeated_post_makes_one_job(api, body):
    first, again = (post(api, body, HTTP_IDEMPOTENCY_KEY="k").json() for _ in range(2))
    assert first["id"] == again["id"]
    assert Job.objects.count() == 1


def test_it_tells_the_place_in_the_queue_by_priority_and_age(api, body):
    ids = [post(api, {**body, "priority": priority}).json()["id"] for priority in (0, 0, 5)]
    places = {job["id"]: job["queue_position"] for job in api("bob").get(JOBS).json()["results"]}
    assert [places[one] for one in ids] == [2, 3, 1]


def test_others_see_nothing_of_a_job(api, body):
    path = f"{JOBS}/{post(api, body).json()['id']}"
    for end in ("", "/events", "/metrics", "/logs"):
        assert api("bob").get(path + end).status_code == 200
        assert api("charlie").get(path + end).status_code == 404
    for end in ("/cancel", "/retry", "/clone"):
        assert api("bob").post(path + end).status_code == 403
        assert api("charlie").post(path + end).status_code == 404
    assert api("charlie").get(JOBS).json()["results"] == []


def test_it_cancels_what_waits_and_refuses_what_has_ended(api, body):
    path = f"{JOBS}/{post(api, body).json()['id']}"
    assert api("erin").post(f"{path}/cancel").json()["state"] == "cancelled"
    again = api("erin").post(f"{path}/cancel")
    assert (again.status_code, again.json()["allowed"]) == (409, [])


def test_a_retry_is_a_new_job_that_names_the_old_one(api, body):
    old = post(api, body).json()
    path = f"{JOBS}/{old['id']}"
    refused = api("alice").post(f"{path}/retry")
    assert (refused.status_code, refused.json()["allowed"]) == (409, ["claimed", "failed", "cancelled"])
    api("alice").post(f"{path}/cancel")
    new = api("alice").post(f"{path}/retry").json()
    assert (new["retry_of"], new["state"], new["recipe_sha256"]) == (old["id"], "queued", old["recipe_sha256"])


def test_a_clone_is_a_new_job_of_the_same_request(api, body):
    old = post(api, body).json()
    new = api("alice").post(f"{JOBS}/{old['id']}/clone").json()
    assert (new["retry_of"], new["recipe"]) == (None, old["recipe"])
    assert TrainingSpec.objects.count() == 2


def test_its_events_have_no_gap_and_go_on_after_a_number(api, body):
    job = Job.objects.get(pk=post(api, body).json()["id"])
    jobs.claim(job.pk, owner="w")
    path = f"{JOBS}/{job.pk}/events"
    events = api("bob").get(path).json()["results"]
    assert [(e["seq"], e["kind"]) for e in events] == [(1, "queued"), (2, "claimed")]
    assert [e["seq"] for e in api("bob").get(f"{path}?after=1").json()["results"]] == [2]
    assert api("bob").get(f"{path}?after=x").json()["param"] == "after"


def test_its_events_stream_until_it_has_ended(api, body):
    path = f"{JOBS}/{post(api, body).json()['id']}"
    api("alice").post(f"{path}/cancel")
    answer = api("bob").get(f"{path}/events", HTTP_ACCEPT="text/event-stream")
    assert answer["Content-Type"].startswith("text/event-stream")
    blocks = b"".join(answer.streaming_content).decode().strip().split("\n\n")
    lines = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    assert [(line["id"], line["event"]) for line in lines] == [("1", "queued"), ("2", "cancelled")]
    assert json.loads(lines[1]["data"])["seq"] == 2


def test_a_broken_stream_goes_on_behind_its_last_event(api, body):
    path = f"{JOBS}/{post(api, body).json()['id']}"
    api("alice").post(f"{path}/cancel")
    headers = {"HTTP_ACCEPT": "text/event-stream", "HTTP_LAST_EVENT_ID": "1"}
    answer = api("bob").get(f"{path}/events", **headers)
    assert b"".join(answer.streaming_content).startswith(b"id: 2\n")


def test_a_stream_of_another_teams_job_is_404(api, body):
    path = f"{JOBS}/{post(api, body).json()['id']}/events"
    assert api("charlie").get(path, HTTP_ACCEPT="text/event-stream").status_code == 404


def test_it_shows_the_curve_and_the_log(api, body):
    job = Job.objects.get(pk=post(api, body).json()["id"])
    JobMetric.objects.bulk_create(JobMetric(job=job, name="loss", step=s, value=1 / s) for s in (1, 2))
    JobEvent.objects.create(job=job, seq=99, kind="log", data={"lines": ["one", "two"]})
    curve = api("bob").get(f"{JOBS}/{job.pk}/metrics").json()["results"]
    assert curve == [{"name": "loss", "points": [{"step": 1, "value": 1.0}, {"step": 2, "value": 0.5}]}]
    assert api("bob").get(f"{JOBS}/{job.pk}/logs").json()["lines"] == ["one", "two"]


def test_the_list_takes_as_many_queries_for_ten_jobs_as_for_one(api, body, django_assert_max_num_queries):
    for _ in range(10):
        post(api, body)
    with django_assert_max_num_queries(8):
        assert len(api("alice").get(JOBS).json()["results"]) == 10


RIGHT = {"name": "right", "kind": "exact"}
MOSTLY = {"metric": "checks.right", "op": ">=", "value": 0.9}


def test_it_keeps_what_its_evaluation_asks_and_hands_it_to_a_clone(api, body):
    job = post(api, {**body, "evaluation": {"checks": [RIGHT], "max_rows": 5}, "gate": [MOSTLY]}).json()
    clone = post(api, {}, path=f"/{job['id']}/clone").json()
    assert job["evaluation"] == clone["evaluation"]
    assert (job["evaluation"]["checks"][0]["name"], job["evaluation"]["max_rows"]) == ("right", 5)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"gate": [MOSTLY]}, "gate[0].metric"),
        ({"gate": [MOSTLY], "evaluation": {"checks": [{**RIGHT, "name": "wrong"}]}}, "gate[0].metric"),
        ({"evaluation": {"checks": [{"name": "right", "kind": "judge"}]}}, "evaluation.checks[0].kind"),
        ({"evaluation": {"checks": [RIGHT], "max_tokens": 5000}}, "evaluation.max_tokens"),
    ],
)
def test_it_refuses_checks_that_make_no_sense(api, body, change, param):
    answer = post(api, {**body, **change})
    assert (answer.status_code, [error["param"] for error in answer.json()["errors"]]) == (422, [param])
    assert not Job.objects.exists()
