"""Whatever is sent, the answer is a problem in JSON that names what is wrong: never a 500, never HTML."""

from __future__ import annotations

import base64

import pytest
from django.db import DataError
from rest_framework.test import APIClient

from tests.make import make_adapter, make_dataset_version

PROBLEM = "application/problem+json"
DATASETS = "/api/v1/datasets"
JOBS = "/api/v1/training-jobs"


def problem(answer, status, param=None):
    assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM), answer.content[:300]
    told = answer.json()
    assert (told["status"], told["param"]) == (status, param)
    if status == 422:
        assert told["errors"]
        assert all(one["message"] and one["code"] for one in told["errors"])
    return told


def raw(client, text, path=DATASETS):
    return client.generic("POST", path, text, content_type="application/json")


def cursor(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "position", ["p=abc", "p=99999999999999999999999", "p=%00", "o=99999999999&p=1", "r=1&p=x"]
)
@pytest.mark.parametrize("path", [DATASETS, "/api/v1/jobs", "/api/v1/adapters"])
def test_it_refuses_a_foreign_cursor(api, position, path):
    answer = api("alice").get(path, {"cursor": cursor(position)})
    assert answer.status_code == 200 or problem(answer, 400, "cursor")


def test_it_refuses_a_cursor_that_is_none(api):
    problem(api("alice").get(DATASETS, {"cursor": "zzz"}), 400, "cursor")


@pytest.mark.parametrize("limit", ["0", "201", "99999999999999999999", "-1", "x", ""])
def test_it_refuses_a_limit_out_of_range(api, limit):
    problem(api("alice").get(DATASETS, {"limit": limit}), 422, "limit")


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\x00", "{'a': 1}", "1e", '{"a": NaN}', "9" * 5000])
def test_it_refuses_json_that_cannot_be_read(api, text):
    problem(raw(api("alice"), text), 400)


@pytest.mark.parametrize(("text", "param"), [('{"vertical": "\\ud800"}', "vertical"), ('{"\\udc00": 1}', None)])
def test_it_refuses_half_a_surrogate(api, text, param):
    assert problem(raw(api("alice"), text), 422, param)["code"] == "bad_text"


def test_it_names_where_a_nul_stands(api):
    problem(raw(api("alice"), '{"a": [{"b": "x\\u0000"}]}'), 422, "a[0].b")


def test_it_reads_an_escaped_backslash_before_u0000_as_text(api):
    problem(raw(api("alice"), '{"team": "health", "name": "x", "vertical": "\\\\u0000"}'), 422, "vertical")


def test_it_refuses_a_number_that_is_infinite(api):
    problem(raw(api("alice"), '{"team": 1e999}'), 400)


def test_it_refuses_a_json_body_that_is_too_large(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    problem(raw(api("alice"), '{"team": "' + "x" * 200 + '"}'), 413)
    problem(raw(api("alice"), "[" + " " * 200 + "]", f"{DATASETS}/health/notes/versions"), 404)


def test_a_text_that_the_database_refuses_is_the_callers_fault(api, monkeypatch):
    def refuse(*args, **kwargs):
        raise DataError("value too long for type character varying(63)")

    monkeypatch.setattr("registry.selectors.datasets.listing", refuse)
    problem(api("alice").get(DATASETS), 422)


@pytest.mark.parametrize("path", ["/api/", "/api/v1/nothing", "/api/v1/jobs/abc", "/api/v1/adapters/a/b/c/d"])
def test_it_has_no_page_for_what_is_missing(api, path):
    problem(api("alice").get(path), 404)


def test_it_names_the_methods_that_there_are(api):
    answer = api("alice").delete(DATASETS)
    assert problem(answer, 405)["title"] == "Method not allowed"
    assert "POST" in answer["Allow"]


def test_a_bad_host_is_a_problem(db):
    problem(APIClient().get("/api/v1/me", HTTP_HOST="evil.example"), 400)


def test_it_refuses_too_many_fields_and_files(api, world, store, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2
    make_dataset_version(world.health)
    form = {f"f{i}": "1" for i in range(5)}
    problem(api("alice").post(f"{DATASETS}/health/notes/versions", form, format="multipart"), 400)


def test_form_fields_that_are_too_large_are_413(api, world, store, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    make_dataset_version(world.health)
    form = {"f": "x" * 1000}
    problem(api("alice").post(f"{DATASETS}/health/notes/versions", form, format="multipart"), 413)


@pytest.mark.parametrize("accept", ["application/problem+json", "text/html", "application/zip", "nonsense"])
def test_it_answers_json_whatever_is_accepted(api, accept):
    answer = api("alice").get("/api/v1/me", HTTP_ACCEPT=accept)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("source", ["file://[x/etc", "s3://[x/etc", "s3://", "hf://x", "ftp://a/b", "file://a/b"])
def test_it_refuses_a_source_that_is_none(api, store, source):
    api("admin").post("/api/v1/base-models", {"name": "llama"}, format="json")
    answer = api("admin").post("/api/v1/base-models/llama/versions", {"source": source}, format="json")
    problem(answer, 422, "source")


@pytest.fixture
def job(world, store):
    make_adapter(world.health)
    make_dataset_version(world.health)
    return {"adapter": "health/triage", "dataset": "health/notes@1", "recipe": {"rank": 2, "steps": 5}}


def post(api, body, query=""):
    return api("alice").post(f"{JOBS}{query}", body, format="json")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"gate": [{"metric": [], "op": [], "relative_to": {}}]}, "gate[0].metric"),
        ({"gate": [{"metric": "loss", "op": "<", "value": 10**400}]}, "gate[0].value"),
        ({"gate": [[]]}, "gate[0]"),
        ({"recipe": {"alpha": 10**400}}, "recipe.alpha"),
        ({"recipe": {"targets": "re:a{99999999999}"}}, "recipe.targets"),
        ({"recipe": {"targets": "re:(a|a)*"}}, "recipe.targets"),
        ({"recipe": {"rank_pattern": {"(.|.)*": 2}}}, "recipe.rank_pattern"),
        ({"recipe": {"warm_start": 3}}, "recipe.warm_start"),
        ({"recipe": {"preset": {}}}, "recipe.preset"),
        ({"recipe": {"": 1}}, "recipe"),
        ({"base_version": 10**30}, "base_version"),
        ({"priority": 10**30}, "priority"),
        ({"deadline": "0000-00-00"}, "deadline"),
        ({"promote_to": "a b"}, "promote_to"),
    ],
)
def test_it_refuses_a_job_that_makes_no_sense(api, job, change, param):
    problem(post(api, {**job, **change}), 422, param)


def test_it_reports_all_that_is_wrong_with_a_job_at_once(api, job):
    wrong = {"dataset": "health/none@1", "recipe": {"rank": 0, "rnk": 1}, "gate": [{"op": "="}], "priority": "x"}
    told = problem(post(api, {**job, **wrong}), 422, "recipe.rnk")
    params = {one["param"] for one in told["errors"]}
    assert params >= {"dataset", "recipe.rank", "recipe.rnk", "gate[0].op", "gate[0].metric", "priority"}


def test_it_names_every_address_that_is_unknown(api, job):
    told = problem(post(api, {**job, "adapter": "health/none", "dataset": "finance/none"}), 404, "adapter")
    assert [one["param"] for one in told["errors"]] == ["adapter", "dataset"]


@pytest.mark.parametrize("query", ["?dry_run=ture", "?dry_run=", "?dry_run=2", "?dryrun=true"])
def test_a_mistyped_dry_run_submits_nothing(api, job, query):
    problem(post(api, job, query), 422, query[1:].partition("=")[0])
    assert api("alice").get(JOBS).json()["results"] == []


@pytest.mark.parametrize(("text", "status"), [("on", 200), ("true", 200), ("1", 200), ("false", 202), ("0", 202)])
def test_it_reads_dry_run_as_yes_or_no(api, job, text, status):
    assert post(api, job, f"?dry_run={text}").status_code == status


@pytest.mark.parametrize("name", ["prod%20", "%20prod", "Prod", "prod%0A", "p%00"])
def test_it_takes_a_name_in_a_path_as_it_stands(api, job, name):
    body = {"version": 1, "reason": ""}
    answer = api("alice").put(f"/api/v1/adapters/health/triage/aliases/{name}", body, format="json")
    problem(answer, 422, "alias")


def test_an_unknown_base_model_is_404_by_its_param(api, world):
    body = {"team": "health", "name": "a", "vertical": "v", "base_model": "none"}
    problem(api("alice").post("/api/v1/adapters", body, format="json"), 404, "base_model")
    problem(api("alice").post("/api/v1/campaigns", {"base_model": "none"}, format="json"), 404, "base_model")
