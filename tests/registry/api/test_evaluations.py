from __future__ import annotations

import pytest

from registry.models import Evaluation, Job
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
