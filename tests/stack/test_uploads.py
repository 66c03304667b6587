"""A large file's whole way, on the local disk and on a real S3 server: signed addresses, breaks, races."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from rest_framework.test import APIClient

from registry.access import SYSTEM, Caller
from registry.choices import ArtifactState, Scope
from registry.models import Artifact, Upload, User
from registry.services import artifacts, datasets, teams, tokens, uploads
from registry.storage import artifact_key, store
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place

LEAST = 5 * 1024 * 1024  # what S3 wants of every part but the last
CONTENT = b'{"prompt": "a", "completion": "b"}\n' * (LEAST // 35 + 1000)
SHA = hashlib.sha256(CONTENT).hexdigest()
KEY = artifact_key(SHA)
Api = Callable[..., Any]


@pytest.fixture
def client(place: Place, monkeypatch: pytest.MonkeyPatch) -> APIClient:
    """Alice's, with parts as small as S3 takes them."""
    monkeypatch.setattr(uploads, "SMALLEST_PART", LEAST)
    monkeypatch.setattr(uploads, "LARGEST_USUAL", LEAST)
    team = teams.create(by=SYSTEM, slug="health", name="Health")
    alice = User.objects.create_user("alice@example.org", None)
    teams.set_member(by=SYSTEM, team=team, email=alice.email, role="owner")
    datasets.create(by=Caller(user=alice), team=team, name="notes", vertical="healthcare")
    text = tokens.mint(by=Caller(user=alice), team=team, name="t", scopes=Scope.values, expires_at=None)[1]
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return made


def announce(client: APIClient) -> Any:
    file = {"path": "rows.jsonl", "size": len(CONTENT), "sha256": SHA}
    answer = client.post("/api/v1/uploads", {"team": "health", "files": [file]}, format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def put(part: Any, content: bytes = CONTENT) -> int:
    body = content[(part["number"] - 1) * LEAST :][: part["size"]]
    if urlsplit(part["url"]).netloc != "testserver":
        return httpx.put(part["url"], content=body, timeout=60).status_code
    return APIClient().generic("PUT", part["url"], body, content_type="application/octet-stream").status_code


def again(client: APIClient, upload: Any) -> Any:
    return client.get(f"/api/v1/uploads/{upload['id']}").json()["files"][0]["parts"]


def complete(client: APIClient, upload: Any) -> Any:
    return client.post(f"/api/v1/uploads/{upload['id']}/complete")


def test_a_file_goes_straight_to_the_store_and_becomes_a_version(client: APIClient) -> None:
    upload = announce(client)
    assert {put(part) for part in upload["files"][0]["parts"]} <= {200, 204}
    assert complete(client, upload).json()["state"] == "complete"
    with store().open(KEY) as stream:
        assert hashlib.sha256(stream.read()).hexdigest() == SHA
    assert list(store().keys("")) == [KEY]
    made = client.post("/api/v1/datasets/health/notes/versions", {"upload": upload["id"]}, format="json")
    assert (made.status_code, made.json()["sha256"]) == (202, SHA)


def test_what_broke_off_goes_on_with_what_is_missing(client: APIClient) -> None:
    upload = announce(client)
    put(upload["files"][0]["parts"][0])
    assert complete(client, upload).status_code == 409
    left = again(client, upload)
    assert [part["present"] for part in left] == [True, False]
    put(left[1])
    assert complete(client, upload).status_code == 200


def test_wrong_bytes_are_refused_and_right_ones_taken_after(client: APIClient) -> None:
    upload = announce(client)
    for part in upload["files"][0]["parts"]:
        put(part, CONTENT[::-1])
    assert complete(client, upload).status_code == 422
    assert list(store().keys("")) == []
    for part in again(client, upload):
        put(part)
    assert complete(client, upload).status_code == 200


def test_a_very_large_file_is_verified_beside_the_request(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, adopt, begun = threading.Event(), artifacts.adopt, []

    def held_up(key: str, stored: artifacts.Stored) -> bool:
        begun.append(key)
        return going.wait(60) and adopt(key, stored)

    monkeypatch.setattr(uploads, "LARGE", 0)
    monkeypatch.setattr(uploads, "PATIENCE", 0.0)
    monkeypatch.setattr(artifacts, "adopt", held_up)
    upload = announce(client)
    for part in upload["files"][0]["parts"]:
        put(part)
    assert [complete(client, upload).status_code for _ in range(3)] == [202] * 3
    going.set()
    monkeypatch.setattr(uploads, "PATIENCE", 60.0)
    assert complete(client, upload).status_code == 200
    assert len(begun) == 1


def test_a_very_large_file_of_other_bytes_is_refused(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGE", 0)
    upload = announce(client)
    for part in upload["files"][0]["parts"]:
        put(part, CONTENT[::-1])
    assert complete(client, upload).json()["code"] == "wrong_digest"
    for part in again(client, upload):
        put(part)
    assert complete(client, upload).status_code == 200


def test_many_complete_one_upload_at_once(client: APIClient) -> None:
    upload = announce(client)
    for part in upload["files"][0]["parts"]:
        put(part)
    assert set(at_once(lambda _: complete(client, upload).status_code)) == {200}
    assert Artifact.objects.get().state == ArtifactState.COMMITTED
    assert store().size(KEY) == len(CONTENT)


def test_two_bring_one_file_at_once(client: APIClient) -> None:
    def bring(number: int) -> int:
        if number > 1:
            return 200
        upload = announce(client)
        for part in upload["files"][0]["parts"]:
            put(part)
        status: int = complete(client, upload).status_code
        return status

    assert set(at_once(bring)) == {200}
    assert (Upload.objects.filter(state="complete").count(), Artifact.objects.count()) == (2, 1)
    assert list(store().keys("")) == [KEY]


def test_an_abort_leaves_nothing_in_the_store(client: APIClient) -> None:
    upload = announce(client)
    put(upload["files"][0]["parts"][0])
    assert client.post(f"/api/v1/uploads/{upload['id']}/abort").status_code == 200
    assert [*store().begun(""), *store().keys("")] == []
    assert put(upload["files"][0]["parts"][1]) in (404, 409)
