"""Request ids, ETags and If-Match, on every kind of object."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from registry.access import SYSTEM
from registry.models import Alias, AliasHistory, Assignment, Promotion
from registry.services import aliases, assignments, clients
from tests.make import make_adapter, make_base_version, make_dataset_version, make_version

ADAPTER = "/api/v1/adapters/health/triage"
BASE = "/api/v1/base-models/llama/versions/1"
SLOT = "/api/v1/clients/health/st-olaf/assignments/default"
STALE = {"HTTP_IF_MATCH": '"not-the-one"'}


@pytest.fixture
def version(world, store):
    return make_version(world.health, base=make_base_version())


@pytest.fixture
def served(world, version):
    """Aliased, and assigned to St. Olaf."""
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="")
    client = clients.create(by=SYSTEM, team=world.health, name="st-olaf", vertical="")
    target = assignments.Target(version.adapter, alias)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    return version


def call(client, method, path, body=None, **headers):
    return getattr(client, method)(path, body if body is not None else {}, format="json", **headers)


@pytest.mark.parametrize("path", ["/", "/api/v1/me", "/api/v1/none", "/nowhere", "/healthz"])
def test_every_answer_has_a_request_id(db, path):
    assert APIClient().get(path, HTTP_X_REQUEST_ID="ours-1")["X-Request-Id"] == "ours-1"
    made = APIClient().get(path, HTTP_X_REQUEST_ID="no good\\n")["X-Request-Id"]
    assert len(made) == 32


def test_a_redirect_and_a_bad_host_have_a_request_id(db, settings):
    assert APIClient().get("/api/v1/me", HTTP_HOST="evil.example")["X-Request-Id"]
    settings.SECURE_SSL_REDIRECT = True
    answer = APIClient().get("/api/v1/me")
    assert (answer.status_code, len(answer["X-Request-Id"])) == (301, 32)


def test_a_problem_says_its_request_id(api):
    answer = api("alice").get("/api/v1/none", HTTP_X_REQUEST_ID="ours-1")
    assert answer.json()["request_id"] == "ours-1"


@pytest.mark.parametrize("accept", ["text/event-stream", "text/csv", "application/x-ndjson"])
def test_an_error_is_json_whatever_was_asked_for(api, accept):
    for path in ("/api/v1/training-jobs/99/events", "/api/v1/audit?from=x"):
        answer = api("alice").get(path, HTTP_ACCEPT=accept)
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


ACTS = [
    ("put", SLOT, {"adapter": "health/triage", "version": 1}, SLOT),
    ("delete", SLOT, None, SLOT),
    ("put", f"{ADAPTER}/aliases/production", {"version": 1}, f"{ADAPTER}/aliases/production"),
    ("post", f"{ADAPTER}/versions/1/quarantine", {}, f"{ADAPTER}/versions/1"),
    ("post", f"{BASE}/deprecate", {}, BASE),
]


@pytest.mark.parametrize("act", ACTS, ids=[f"{act[0]}-{act[1].rpartition('/')[2]}" for act in ACTS])
def test_it_acts_only_on_what_was_read(api, served, act):
    method, path, body, read = act
    refused = call(api("admin"), method, path, body, **STALE)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    tag = api("admin").get(read)["ETag"]
    assert call(api("admin"), method, path, body, HTTP_IF_MATCH=tag).status_code in (200, 204, 409)


def test_it_ends_only_the_versions_that_were_read(api, world, version):
    make_dataset_version(world.health)
    for path in (f"{ADAPTER}/versions/1", "/api/v1/datasets/health/notes/versions/1"):
        for act in ("archive", "withdraw"):
            assert call(api("admin"), "post", f"{path}/{act}", **STALE).status_code == 412
        tag = api("admin").get(path)["ETag"]
        assert call(api("admin"), "post", f"{path}/archive", HTTP_IF_MATCH=tag).status_code == 200


@pytest.mark.parametrize("act", ["activate", "deprecate", "retire"])
def test_it_moves_only_the_base_that_was_read(api, version, act):
    assert call(api("admin"), "post", f"{BASE}/{act}", **STALE).status_code == 412


def test_it_deletes_only_the_alias_that_was_read(api, version):
    path = f"{ADAPTER}/aliases/candidate"
    tag = call(api("alice"), "put", path, {"version": 1})["ETag"]
    assert call(api("alice"), "delete", path, **STALE).status_code == 412
    assert call(api("alice"), "delete", path, HTTP_IF_MATCH=tag).status_code == 204


@pytest.mark.parametrize("tag", ["*", '"x"'])
@pytest.mark.parametrize("method", ["put", "delete"])
def test_what_is_not_there_matches_nothing(api, version, method, tag):
    path = f"{ADAPTER}/aliases/candidate"
    assert call(api("alice"), method, path, {"version": 1}, HTTP_IF_MATCH=tag).status_code == 412
    assert not Alias.objects.exists()


def test_it_cancels_only_the_job_that_was_read(api, world, version):
    make_dataset_version(world.health)
    body = {"adapter": "health/triage", "dataset": "health/notes@1", "recipe": {"rank": 2, "steps": 5}}
    path = f"/api/v1/training-jobs/{call(api('alice'), 'post', '/api/v1/training-jobs', body).json()['id']}"
    assert call(api("alice"), "post", f"{path}/cancel", **STALE).status_code == 412
    tag = api("alice").get(path)["ETag"]
    assert call(api("alice"), "post", f"{path}/cancel", HTTP_IF_MATCH=tag).status_code == 200


def test_it_cancels_only_the_promotion_that_was_read(api, world, served):
    make_version(world.health, base=served.base_version)
    asked = call(api("alice"), "put", f"{ADAPTER}/aliases/production", {"version": 2})
    path = f"{ADAPTER}/promotions/{asked.json()['promotion']['id']}"
    assert call(api("alice"), "post", f"{path}/cancel", **STALE).status_code == 412
    tag = api("alice").get(path)["ETag"]
    assert call(api("alice"), "post", f"{path}/cancel", HTTP_IF_MATCH=tag).status_code == 200
    assert Promotion.objects.get().state == "cancelled"


@pytest.mark.parametrize("step", ["preview", "start", "pause", "cancel", "promote", "rollback"])
def test_it_steps_only_the_campaign_that_was_read(api, world, served, step):
    make_base_version(change="weights")
    made = call(api("alice"), "post", "/api/v1/campaigns", {"base_model": "llama"})
    path = f"/api/v1/campaigns/{made.json()['id']}"
    assert call(api("alice"), "post", f"{path}/{step}", **STALE).status_code == 412
    assert api("alice").get(path)["ETag"] == made["ETag"]


def test_it_reads_one_assignment(api, served):
    answer = api("bob").get(SLOT)
    assert (answer.status_code, answer.json()["slot"], answer.json()["alias"]) == (200, "default", "production")
    again = api("bob").get(SLOT, HTTP_IF_NONE_MATCH=f'W/{answer["ETag"]}, "x"')
    assert (again.status_code, again["ETag"]) == (304, answer["ETag"])
    assert api("charlie").get(SLOT).status_code == 404
    assert api("bob").get(SLOT.replace("default", "other")).json()["code"] == "no_assignment"


def test_the_history_of_a_slot_shows_each_version_it_had(api, world, served):
    two = make_version(world.health, base=served.base_version)
    for version in (two, served):
        aliases.move(by=SYSTEM, adapter=two.adapter, name="production", version=version, reason="r", force=True)
    rows = api("bob").get("/api/v1/clients/health/st-olaf/timeline").json()["results"]
    assert [row["address"] for row in rows] == [served.address, two.address, served.address]
    assert [row["manifest_sha256"] for row in rows] == [served.manifest_id, two.manifest_id, served.manifest_id]
    assert [row["version"] for row in rows] == [1, 2, 1]
    assert [row["valid_to"] for row in rows] == [None, rows[0]["valid_from"], rows[1]["valid_from"]]
    assert rows[2]["valid_from"] == api("bob").get(SLOT).json()["valid_from"]
    assert {row["alias"] for row in rows} == {"production"}


def test_the_history_of_a_slot_has_pages(api, world, served):
    two = make_version(world.health, base=served.base_version)
    aliases.move(by=SYSTEM, adapter=two.adapter, name="production", version=two, reason="r", force=True)
    seen, url = [], "/api/v1/clients/health/st-olaf/timeline?limit=1"
    while url:
        page = api("bob").get(url).json()
        seen += [row["version"] for row in page["results"]]
        url = page["next"]
    assert seen == [2, 1]


def test_the_history_ends_with_the_assignment(api, world, served):
    assert api("alice").delete(SLOT).status_code == 204
    two = make_version(world.health, base=served.base_version)
    aliases.move(by=SYSTEM, adapter=two.adapter, name="production", version=two, reason="", force=True)
    (row,) = api("bob").get("/api/v1/clients/health/st-olaf/timeline").json()["results"]
    assert (row["address"], row["valid_to"] is not None) == (served.address, True)
    assert (Assignment.objects.count(), AliasHistory.objects.count()) == (1, 2)


def test_it_shows_a_pinned_version_as_one_row(api, world, version):
    call(api("alice"), "post", "/api/v1/clients", {"team": "health", "name": "st-olaf"})
    call(api("alice"), "put", SLOT, {"adapter": "health/triage", "version": 1})
    (row,) = api("bob").get("/api/v1/clients/health/st-olaf/timeline").json()["results"]
    assert (row["address"], row["manifest_sha256"], row["alias"]) == (version.address, version.manifest_id, None)


def test_a_job_says_its_progress_before_it_has_any(api, world, store):
    make_adapter(world.health)
    make_dataset_version(world.health)
    body = {"adapter": "health/triage", "dataset": "health/notes@1", "recipe": {"rank": 2, "steps": 5}}
    told = call(api("alice"), "post", "/api/v1/training-jobs", body).json()["progress"]
    assert told == dict.fromkeys(("step", "steps", "epoch", "loss", "eta_seconds"))
