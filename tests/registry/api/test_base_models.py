from __future__ import annotations

import pytest
from django.utils import timezone

from registry.models import Assignment, Client, Job, Slot
from tests.make import make_base_version, make_version

BODY = {"name": "llama", "family": "llama", "licence": "apache-2.0"}
VERSIONS = "/api/v1/base-models/llama/versions"
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def root(tmp_path, settings):
    (tmp_path / "bases" / "one").mkdir(parents=True)
    settings.BASE_ROOTS = [(tmp_path / "bases").resolve()]
    return tmp_path / "bases"


def add(api, source, who="admin"):
    return api(who).post(VERSIONS, {"source": source}, format="json")


def assign(version, name="clinic"):
    client, _ = Client.objects.get_or_create(team=version.adapter.team, name=name)
    slot = Slot.objects.create(client=client)
    return Assignment.objects.create(
        slot=slot, adapter=version.adapter, version=version, valid_from=timezone.now(), actor="a"
    )


def test_an_administrator_registers_a_base_model(api):
    answer = api("admin").post("/api/v1/base-models", BODY, format="json")
    assert (answer.status_code, answer.json()["current"]) == (201, None)
    assert api("admin").post("/api/v1/base-models", BODY, format="json").status_code == 409


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_others_only_read(api, who):
    make_base_version()
    assert api(who).post("/api/v1/base-models", BODY, format="json").status_code == 403
    assert add(api, "hf://a/b", who).status_code == 403
    assert api(who).get(f"{VERSIONS}/1").json()["current"] is True
    assert api(who).get("/api/v1/base-models").json()["results"][0]["name"] == "llama"


def test_it_queues_the_ingestion(api, root):
    api("admin").post("/api/v1/base-models", BODY, format="json")
    answer = add(api, (root / "one").as_uri())
    assert (answer.status_code, answer.json()["status"]) == (202, "ingesting")
    assert Job.objects.get(pk=answer.json()["job"]).kind == "ingest_base"


def test_a_folder_may_be_referenced_and_nothing_else(api, root):
    api("admin").post("/api/v1/base-models", BODY, format="json")
    told = api("admin").post(VERSIONS, {"source": (root / "one").as_uri(), "reference": True}, format="json")
    assert (told.status_code, told.json()["reference"], told.json()["revision"]) == (202, True, "")
    refused = api("admin").post(VERSIONS, {"source": "hf://a/b", "reference": True}, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["param"]) == (422, "reference")


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc",
        "file:///{root}/../..",
        "file:///{root}/none",
        "file:///{root}/" + "a" * 300,
        "file://host/x",
        "ftp://x",
        "hf://no",
        "s3://b",
        "",
    ],
)
def test_it_refuses_other_sources(api, root, source):
    api("admin").post("/api/v1/base-models", BODY, format="json")
    answer = add(api, source.replace("/{root}", str(root)))
    assert (answer.status_code, answer.json()["param"]) == (422, "source")


def test_it_refuses_a_link_that_leaves_the_root(api, root, tmp_path):
    api("admin").post("/api/v1/base-models", BODY, format="json")
    (root / "link").symlink_to(tmp_path)
    assert add(api, (root / "link").as_uri()).status_code == 422


def test_unknown_ones_are_missing(api):
    assert api("admin").get("/api/v1/base-models/none").status_code == 404
    make_base_version()
    assert api("admin").get(f"{VERSIONS}/2").status_code == 404
    assert add(api, "hf://a/b").status_code == 202
    assert api("admin").post("/api/v1/base-models/none/versions", {"source": "hf://a/b"}).status_code == 404


def test_activation_makes_it_current_and_leaves_the_old_one_active(api):
    make_base_version()
    make_base_version(status="draft")
    done = api("admin").post(f"{VERSIONS}/2/activate", {"reason": "better"}, format="json")
    assert (done.status_code, done.json()["current"]) == (200, True)
    old = api("admin").get(f"{VERSIONS}/1").json()
    assert (old["status"], old["current"]) == ("active", False)


def test_only_an_administrator_activates(api):
    make_base_version(status="draft")
    assert api("alice").post(f"{VERSIONS}/1/activate", {}, format="json").status_code == 403


def test_a_failed_version_cannot_be_activated(api):
    make_base_version(status="failed")
    answer = api("admin").post(f"{VERSIONS}/1/activate", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "bad_transition")


def test_it_is_not_retired_while_assigned(api, world):
    version = make_version(world.health)
    assign(version)
    answer = api("admin").post(f"{VERSIONS}/1/retire", {"reason": "old"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    Assignment.objects.update(valid_to=timezone.now())
    assert (
        api("admin").post(f"{VERSIONS}/1/retire", {"reason": "old"}, format="json").json()["status"] == "retired"
    )


def test_the_impact_names_ones_own_and_counts_the_others(api, world):
    assign(make_version(world.health))
    assign(make_version(world.finance, "fraud"), "bank")
    make_base_version(status="draft", weights_sha256="9" * 64)
    body = api("alice").get(f"{VERSIONS}/2/impact").json()
    assert body["change"] == "weights"
    assert [one["adapter"] for one in body["adapters"]] == ["health/triage"]
    assert body["clients"] == ["health/clinic"]
    assert body["other_teams"] == {"adapters": 1, "clients": 1}
    assert "finance" not in str(body)
