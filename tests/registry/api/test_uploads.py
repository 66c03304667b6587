from __future__ import annotations

import hashlib
from concurrent.futures import Future
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from registry.choices import ArtifactState
from registry.models import Artifact, AuditEvent, Upload
from registry.services import outlasting, uploads
from registry.storage import artifact_key, store
from tests.make import make_dataset_version, make_manifest

UPLOADS = "/api/v1/uploads"
ROWS = b'{"prompt": "a", "completion": "b"}\n' * 10
pytestmark = pytest.mark.usefixtures("store")


def sha(content):
    return hashlib.sha256(content).hexdigest()


def named(path="rows.jsonl", content=ROWS, **other):
    return {"path": path, "size": len(content), "sha256": sha(content), **other}


def announce(api, *files, who="alice", team="health"):
    return api(who).post(UPLOADS, {"team": team, "files": list(files) or [named()]}, format="json")


def put(url, content, **headers):
    """To whoever takes the part: our server, or the store itself."""
    if urlsplit(url).netloc != "testserver":
        return httpx.put(url, content=content)
    return APIClient().generic("PUT", url, content, content_type="application/octet-stream", **headers)


def send(upload, *contents):
    for file, content in zip(upload["files"], contents or [ROWS], strict=True):
        for part in file.get("parts", []):
            start = (part["number"] - 1) * file["parts"][0]["size"]
            assert put(part["url"], content[start : start + part["size"]]).status_code in (200, 204)


def complete(api, upload, who="alice"):
    return api(who).post(f"{UPLOADS}/{upload['id']}/complete")


@pytest.fixture
def on_disk(store, settings):
    settings.STORE = (store.parent / "local").as_uri()


@pytest.fixture
def small_parts(on_disk, monkeypatch):
    """Parts of 100 bytes, which the disk takes (S3 wants 5 MiB; tests/stack/test_uploads.py)."""
    monkeypatch.setattr(uploads, "SMALLEST_PART", 100)


def test_it_says_where_each_part_goes(api):
    answer = announce(api, who="erin")
    body = answer.json()
    assert (answer.status_code, body["team"], body["state"]) == (201, "health", "open")
    (file,) = body["files"]
    assert (file["path"], file["already_present"]) == ("rows.jsonl", False)
    assert [(part["number"], part["size"], part["present"]) for part in file["parts"]] == [(1, len(ROWS), False)]


def test_it_keeps_what_was_sent(api):
    upload = announce(api).json()
    send(upload)
    answer = complete(api, upload)
    assert (answer.status_code, answer.json()["state"]) == (200, "complete")
    assert answer.json()["files"][0]["already_present"]
    assert Artifact.objects.get(pk=sha(ROWS)).state == ArtifactState.COMMITTED
    with store().open(artifact_key(sha(ROWS))) as stream:
        assert stream.read() == ROWS
    assert list(store().keys("uploads/")) == list(store().begun("uploads/")) == []


def test_completing_it_twice_is_completing_it_once(api):
    upload = announce(api).json()
    send(upload)
    first, again = (complete(api, upload) for _ in range(2))
    assert first.json() == again.json()
    assert AuditEvent.objects.filter(action="upload.complete", object=f"upload:{upload['id']}").count() == 1


def test_it_says_what_is_missing_and_goes_on_from_there(api, small_parts):
    upload = announce(api).json()
    parts = upload["files"][0]["parts"]
    assert [part["size"] for part in parts] == [100, 100, 100, 50]
    put(parts[1]["url"], ROWS[100:200])
    refused = complete(api, upload)
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_incomplete")
    assert "rows.jsonl lacks part 1, 3, 4 of 4" in refused.json()["detail"]
    now = api("alice").get(f"{UPLOADS}/{upload['id']}").json()
    assert [part["present"] for part in now["files"][0]["parts"]] == [False, True, False, False]
    for part in now["files"][0]["parts"]:
        if part["url"]:
            at = (part["number"] - 1) * 100
            put(part["url"], ROWS[at : at + 100])
    assert complete(api, upload).json()["state"] == "complete"


def test_it_verifies_a_few_files_at_a_time(api, monkeypatch):
    monkeypatch.setattr(uploads, "PATIENCE", -1)
    upload = announce(api, named("a"), named("b", b"other")).json()
    send(upload, ROWS, b"other")
    first = complete(api, upload)
    assert (first.status_code, first.json()["state"]) == (202, "open")
    assert [file["already_present"] for file in first.json()["files"]] == [True, False]
    assert complete(api, upload).status_code == 200


def test_other_bytes_are_refused_and_not_kept(api):
    upload = announce(api).json()
    send(upload, ROWS[::-1])
    refused = complete(api, upload)
    assert (refused.status_code, refused.json()["code"]) == (422, "wrong_digest")
    assert refused.json()["param"] == "files[0].sha256"
    assert "rows.jsonl" in refused.json()["detail"]
    assert list(store().keys("")) == []
    assert not Artifact.objects.filter(state=ArtifactState.COMMITTED).exists()


def test_the_right_bytes_may_follow_the_wrong_ones(api):
    upload = announce(api).json()
    send(upload, ROWS[::-1])
    assert complete(api, upload).status_code == 422
    send(api("alice").get(f"{UPLOADS}/{upload['id']}").json())
    assert complete(api, upload).status_code == 200


@pytest.fixture
def hashed_late(monkeypatch):
    """Every file is hashed beside the request, and is done once that was answered."""
    monkeypatch.setattr(uploads, "LARGE", 0)

    def outcome(name, work, *, seconds):
        outlasting._begun[name] = future = Future()
        future.set_result(work())

    monkeypatch.setattr(outlasting, "outcome", outcome)


def test_wrong_bytes_of_a_very_large_file_are_told_to_who_asks_again(api, hashed_late):
    upload = announce(api).json()
    send(upload, ROWS[::-1])
    assert complete(api, upload).status_code == 202
    assert complete(api, upload).json()["code"] == "wrong_digest"
    assert complete(api, upload).json()["code"] == "upload_incomplete"


def test_the_right_bytes_of_a_very_large_file_may_follow_the_wrong_ones(api, hashed_late):
    upload = announce(api).json()
    send(upload, ROWS[::-1])
    assert complete(api, upload).status_code == 202
    send(api("alice").get(f"{UPLOADS}/{upload['id']}").json())
    assert complete(api, upload).status_code == 202
    assert complete(api, upload).status_code == 200


def test_wrong_bytes_harm_nobody_who_has_the_right_ones(api, world):
    version = make_dataset_version(world.finance)
    size = Artifact.objects.get(pk=version.sha256).size
    upload = announce(api, named(content=b"x" * size, sha256=version.sha256)).json()
    send(upload, b"x" * size)
    assert complete(api, upload).status_code == 422
    assert api("charlie").get("/api/v1/datasets/finance/notes/versions/1/rows").status_code == 200


def test_what_the_team_has_need_not_be_sent(api, world):
    version = make_dataset_version(world.health)
    size = Artifact.objects.get(pk=version.sha256).size
    upload = announce(api, {"path": "again", "size": size, "sha256": version.sha256}).json()
    assert (upload["files"][0]["already_present"], "parts" in upload["files"][0]) == (True, False)
    assert complete(api, upload).json()["state"] == "complete"


@pytest.mark.parametrize("status", ["ready", "withdrawn"])
def test_it_does_not_say_what_other_teams_have(api, world, status):
    team = world.finance if status == "ready" else world.health
    version = make_dataset_version(team, status=status)
    size = Artifact.objects.get(pk=version.sha256).size
    upload = announce(api, {"path": "theirs", "size": size, "sha256": version.sha256}).json()
    assert not upload["files"][0]["already_present"]
    assert complete(api, upload).status_code == 409


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"path": "../rows"}, "files[0].path"),
        ({"path": "/etc/passwd"}, "files[0].path"),
        ({"path": "a//b"}, "files[0].path"),
        ({"path": "a\\b"}, "files[0].path"),
        ({"path": "a\n"}, "files[0].path"),
        ({"path": "x" * 400}, "files[0].path"),
        ({"path": ""}, "files[0].path"),
        ({"size": 0}, "files[0].size"),
        ({"size": -1}, "files[0].size"),
        ({"size": 10**30}, "files[0].size"),
        ({"sha256": "ABC"}, "files[0].sha256"),
    ],
)
def test_it_refuses_files_that_make_no_sense(api, change, param):
    answer = announce(api, {**named(), **change})
    assert (answer.status_code, answer.json()["errors"][0]["param"]) == (422, param)
    assert not Upload.objects.exists()


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b")])
def test_each_path_is_one_file(api, paths):
    assert announce(api, *(named(path) for path in paths)).status_code == 422


def test_it_refuses_too_much(api, settings):
    settings.MAX_LARGE_UPLOAD_BYTES = len(ROWS)
    assert announce(api, named("a"), named("b")).status_code == 413
    assert announce(api, *(named(str(number)) for number in range(501))).status_code == 422


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401)])
def test_only_editors_upload(api, who, status):
    assert announce(api, who=who).status_code == status
    upload = announce(api).json()
    for path, method in (("", "get"), ("/complete", "post"), ("/abort", "post")):
        assert getattr(api(who), method)(f"{UPLOADS}/{upload['id']}{path}").status_code == status


def test_it_lists_only_ones_own(api):
    upload = announce(api).json()
    (row,) = api("bob").get(f"{UPLOADS}?team=health&state=open").json()["results"]
    assert (row["id"], row["files"][0]["sha256"], "parts" in row["files"][0]) == (upload["id"], sha(ROWS), False)
    assert api("charlie").get(UPLOADS).json()["results"] == []
    assert api("bob").get(f"{UPLOADS}?state=complete").json()["results"] == []


def test_an_aborted_one_takes_nothing_more(api, django_capture_on_commit_callbacks):
    upload = announce(api).json()
    send(upload)
    with django_capture_on_commit_callbacks(execute=True):
        assert api("erin").post(f"{UPLOADS}/{upload['id']}/abort").json()["state"] == "aborted"
    assert api("erin").post(f"{UPLOADS}/{upload['id']}/abort").status_code == 200
    assert complete(api, upload).status_code == 409
    assert put(upload["files"][0]["parts"][0]["url"], ROWS).status_code in (404, 409)
    assert list(store().begun("uploads/")) == []


def test_aborting_a_complete_one_gives_its_bytes_up(api, django_capture_on_commit_callbacks):
    upload = announce(api).json()
    send(upload)
    complete(api, upload)
    with django_capture_on_commit_callbacks(execute=True):
        assert api("alice").post(f"{UPLOADS}/{upload['id']}/abort").json()["state"] == "aborted"
    assert list(store().keys("")) == []


class TestOurAddresses:
    """Of parts that the server takes itself."""

    @pytest.fixture
    def url(self, api, on_disk):
        return announce(api).json()["files"][0]["parts"][0]["url"]

    def test_a_part_is_taken_once_and_again(self, url):
        assert put(url, ROWS).status_code == put(url, ROWS).status_code == 204

    @pytest.mark.parametrize(("content", "status"), [(ROWS + b"x", 413), (ROWS[1:], 422), (b"", 422)])
    def test_a_part_has_just_its_size(self, url, content, status):
        assert put(url, content).status_code == status

    def test_the_address_is_for_one_part_of_one_file(self, url):
        for wrong in (url[:-1], url.replace("/parts/1", "/parts/2"), url.partition("?")[0]):
            refused = put(wrong, ROWS)
            assert (refused.status_code, refused.json()["code"]) == (403, "bad_signature")

    def test_the_address_expires(self, url, monkeypatch):
        monkeypatch.setattr("registry.selectors.uploads.ADDRESS_SECONDS", -1)
        assert put(url, ROWS).status_code == 403

    def test_it_leaves_nothing_in_the_home(self, url, settings, tmp_path):
        settings.HOME = tmp_path / "home"
        put(url, ROWS)
        put(url, ROWS[1:])
        assert list((tmp_path / "home").rglob("*.*")) == []

    def test_an_expired_upload_takes_no_part(self, url):
        Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert put(url, ROWS).status_code == 409


def test_two_uploads_of_one_file_are_one_artifact(api):
    first, second = (announce(api).json() for _ in range(2))
    send(first)
    send(second)
    assert complete(api, second).status_code == complete(api, first).status_code == 200
    assert list(store().keys("")) == [artifact_key(sha(ROWS))]


def test_what_is_damaged_may_be_sent_again(api, world):
    manifest = make_manifest({"rows.jsonl": ROWS})
    make_dataset_version(world.health, source=manifest, manifest=manifest, sha256=sha(ROWS))
    Artifact.objects.update(damaged_at=timezone.now())
    upload = announce(api).json()
    send(upload)
    assert complete(api, upload).status_code == 200
    assert Artifact.objects.get(pk=sha(ROWS)).damaged_at is None


def test_what_was_destroyed_meanwhile_has_to_be_sent(api, world):
    manifest = make_manifest({"rows.jsonl": ROWS})
    make_dataset_version(world.health, source=manifest, manifest=manifest, sha256=sha(ROWS))
    upload = announce(api).json()
    store().delete(artifact_key(sha(ROWS)))
    Artifact.objects.update(state=ArtifactState.DESTROYED)
    assert complete(api, upload).status_code == 409
    send(api("alice").get(f"{UPLOADS}/{upload['id']}").json())
    assert complete(api, upload).status_code == 200
