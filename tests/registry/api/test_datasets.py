from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from registry.choices import ArtifactState
from registry.models import Artifact, AuditEvent, Dataset, DatasetVersion, Job
from tests.make import make_dataset_version

BODY = {"team": "health", "name": "notes", "vertical": "healthcare"}
ONE = "/api/v1/datasets/health/notes"
pytestmark = pytest.mark.usefixtures("store")


def upload(api, who="alice", content=b'{"text": "t"}\n', **headers):
    file = SimpleUploadedFile("train.jsonl", content)
    return api(who).post(f"{ONE}/versions", {"file": file}, format="multipart", **headers)


def test_it_makes_a_dataset_with_a_salt(api):
    answer = api("erin").post("/api/v1/datasets", BODY, format="json")
    assert (answer.status_code, answer.json()["address"]) == (201, "health/notes")
    assert len(Dataset.objects.get().salt) == 16


def test_it_refuses_the_same_name_twice(api):
    api("alice").post("/api/v1/datasets", BODY, format="json")
    again = api("alice").post("/api/v1/datasets", BODY, format="json")
    assert (again.status_code, again.json()["param"]) == (409, "name")


def test_only_editors_make_datasets(api):
    assert api("bob").post("/api/v1/datasets", BODY, format="json").status_code == 403
    assert api("charlie").post("/api/v1/datasets", BODY, format="json").status_code == 404
    assert api(None).post("/api/v1/datasets", BODY, format="json").status_code == 401


def test_it_takes_an_upload_and_queues_its_validation(api):
    api("alice").post("/api/v1/datasets", BODY, format="json")
    answer = upload(api)
    body = answer.json()
    assert (answer.status_code, body["status"], body["number"]) == (202, "validating", 1)
    assert Job.objects.get(pk=body["job"]).kind == "validate_dataset"
    assert body["report"]["errors"] == []


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401)])
def test_only_editors_upload(api, who, status):
    api("alice").post("/api/v1/datasets", BODY, format="json")
    assert upload(api, who).status_code == status
    assert not DatasetVersion.objects.exists()


def test_a_repeated_upload_makes_one_version(api):
    api("alice").post("/api/v1/datasets", BODY, format="json")
    first, again = (upload(api, HTTP_IDEMPOTENCY_KEY="k").json() for _ in range(2))
    assert first["number"] == again["number"] == 1
    assert DatasetVersion.objects.count() == 1


def test_it_refuses_an_empty_or_missing_file(api):
    api("alice").post("/api/v1/datasets", BODY, format="json")
    assert upload(api, content=b"").status_code == 422
    missing = api("alice").post(f"{ONE}/versions", {}, format="multipart")
    assert (missing.status_code, missing.json()["param"]) == (422, "file")


def test_it_refuses_what_is_too_large_before_reading_it(api, settings):
    settings.MAX_UPLOAD_BYTES = -(1024 * 1024)
    api("alice").post("/api/v1/datasets", BODY, format="json")
    assert upload(api).status_code == 413


def test_it_shows_rows_with_their_split(api, world):
    make_dataset_version(world.health)
    rows = api("bob").get(f"{ONE}/versions/1/rows?limit=3").json()["results"]
    assert [row["split"] for row in rows] == ["train", "train", "train"]


def test_who_saw_rows_is_on_the_record(api, world):
    version = make_dataset_version(world.health)
    api("bob").get(f"{ONE}/versions/1/rows?limit=3")
    api("charlie").get(f"{ONE}/versions/1/rows")
    event = AuditEvent.objects.get(action="dataset_version.read")
    assert (event.token, event.object) == (world.tokens["bob"].split("_")[1], f"dataset:{version.address}")
    assert event.after == {"rows": 3, "sha256": version.sha256}


@pytest.mark.parametrize("path", [ONE, f"{ONE}/versions", f"{ONE}/versions/1", f"{ONE}/versions/1/rows"])
def test_it_hides_another_teams_datasets(api, world, path):
    make_dataset_version(world.health)
    assert api("bob").get(path).status_code == 200
    assert api("charlie").get(path).status_code == 404


def test_it_lists_only_ones_own(api, world):
    make_dataset_version(world.health)
    assert [one["latest_version"] for one in api("bob").get("/api/v1/datasets?team=health").json()["results"]] == [
        1
    ]
    assert api("charlie").get("/api/v1/datasets").json()["results"] == []


@pytest.mark.parametrize("number", ["9", "99999999999999999999999"])
def test_an_unknown_version_is_missing(api, world, number):
    make_dataset_version(world.health)
    assert api("alice").get(f"{ONE}/versions/{number}").status_code == 404
    assert api("alice").get("/api/v1/datasets/health/nothing").status_code == 404


def test_a_withdrawal_destroys_the_bytes_and_keeps_the_tombstone(
    api, world, store, django_capture_on_commit_callbacks
):
    version = make_dataset_version(world.health)
    with django_capture_on_commit_callbacks(execute=True):
        answer = api("alice").post(f"{ONE}/versions/1/withdraw", {"reason": "asked to"}, format="json")
    assert (answer.json()["status"], answer.json()["sha256"]) == ("withdrawn", version.sha256)
    assert Artifact.objects.get(pk=version.sha256).state == ArtifactState.DESTROYED
    assert not [path for path in store.rglob("*") if path.is_file()]
    assert api("alice").get(f"{ONE}/versions/1/rows").status_code == 409
    assert AuditEvent.objects.filter(action="dataset_version.withdraw", reason="asked to").exists()


def test_a_withdrawal_spares_bytes_that_another_version_holds(api, world, django_capture_on_commit_callbacks):
    first = make_dataset_version(world.health)
    second = make_dataset_version(world.finance, source=first.source, manifest=first.manifest, sha256=first.sha256)
    with django_capture_on_commit_callbacks(execute=True):
        api("alice").post(f"{ONE}/versions/1/withdraw", {"reason": "r"}, format="json")
    assert Artifact.objects.get(pk=second.sha256).state == ArtifactState.COMMITTED
    assert api("charlie").get("/api/v1/datasets/finance/notes/versions/1/rows").status_code == 200


def test_a_withdrawn_version_stays_so(api, world):
    make_dataset_version(world.health, status="withdrawn")
    answer = api("alice").post(f"{ONE}/versions/1/archive", {}, format="json")
    assert (answer.status_code, answer.json()["allowed"]) == (409, [])


@pytest.mark.parametrize("act", ["archive", "withdraw"])
def test_only_maintainers_end_versions(api, world, act):
    make_dataset_version(world.health)
    for who, status in (("erin", 403), ("bob", 403), ("charlie", 404)):
        assert api(who).post(f"{ONE}/versions/1/{act}", {}, format="json").status_code == status
