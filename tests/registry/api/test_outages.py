"""The database, the store or the disk is away: 503 or 507 as a problem, and never HTML."""

from __future__ import annotations

import errno
from contextlib import contextmanager

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection

from registry.storage import StoreError
from registry.storage.local import LocalStore
from tests.make import make_adapter, make_dataset_version, make_version

PROBLEM = "application/problem+json"
ROWS = "/api/v1/datasets/health/notes/versions/1/rows"


@pytest.fixture
def no_database(monkeypatch):
    @contextmanager
    def away():
        def refuse(*args, **kwargs):
            raise OperationalError("connection refused")

        with monkeypatch.context() as patch:
            patch.setattr(connection, "cursor", refuse)
            yield

    return away


def test_the_probes_say_503_without_a_database(client, db, no_database, store):
    with no_database():
        ready, counts = client.get("/readyz"), client.get("/metrics")
    assert (ready.status_code, ready["Content-Type"], ready.json()["database"]) == (
        503,
        "application/json",
        "away",
    )
    assert (counts.status_code, counts["Content-Type"].split(";")[0]) == (503, "text/plain")
    assert client.get("/healthz").status_code == 200


def test_the_api_says_503_without_a_database(api, no_database):
    alice = api("alice")
    with no_database():
        answer = alice.get("/api/v1/me")
    assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, PROBLEM, "2")


class Broken:
    """A stream that is cut after its first block."""

    def __init__(self):
        self.blocks = [b'{"split": "train"}\n']

    def read(self, size=-1):
        if self.blocks:
            return self.blocks.pop()
        raise StoreError("cut")

    def close(self):
        pass


def test_rows_that_break_off_are_503(api, world, store, monkeypatch):
    make_dataset_version(world.health)
    monkeypatch.setattr(LocalStore, "open", lambda self, key: Broken())
    answer = api("bob").get(ROWS)
    assert (answer.status_code, answer["Content-Type"], answer.json()["code"]) == (
        503,
        PROBLEM,
        "store_unavailable",
    )


@pytest.mark.parametrize("failure", [PermissionError("no"), OSError(errno.EIO, "disk"), StoreError("away")])
def test_a_store_that_cannot_be_read_is_503(api, world, store, monkeypatch, failure):
    make_dataset_version(world.health)
    make_version(world.health)

    def fail(self, key):
        raise failure

    monkeypatch.setattr(LocalStore, "open", fail)
    for path in (ROWS, "/api/v1/adapters/health/triage/versions/1/archive.zip"):
        answer = api("bob").get(path)
        assert (answer.status_code, answer["Content-Type"]) == (503, PROBLEM)


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "where",
    [
        "registry.services.received.TemporaryDirectory",
        "django.core.files.uploadedfile.tempfile.NamedTemporaryFile",
    ],
)
@pytest.mark.usefixtures("store")
def test_a_full_disk_is_507(api, world, monkeypatch, settings, where):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1
    make_dataset_version(world.health)
    monkeypatch.setattr(where, full)
    file = SimpleUploadedFile("rows.jsonl", b'{"text": "a"}\n' * 10)
    answer = api("alice").post("/api/v1/datasets/health/notes/versions", {"file": file}, format="multipart")
    assert (answer.status_code, answer["Content-Type"]) == (507, PROBLEM)


FILE = "/api/v1/adapters/health/triage/versions/1"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/archive.zip", "application/zip"),
        ("/files/adapter_config.json", "application/octet-stream"),
        ("/files/adapter_config.json", "application/json"),
        ("", "application/problem+json"),
    ],
)
def test_bytes_come_whatever_is_accepted(api, world, store, path, accept):
    make_version(world.health)
    assert api("bob").get(f"{FILE}{path}", HTTP_ACCEPT=accept).status_code == 200


def test_a_range_past_the_end_is_a_problem(api, world, store):
    make_version(world.health)
    answer = api("bob").get(f"{FILE}/files/adapter_config.json", HTTP_RANGE="bytes=999999-")
    assert (answer.status_code, answer["Content-Type"], answer.json()["status"]) == (416, PROBLEM, 416)
    assert answer["Content-Range"].startswith("bytes */")


def test_an_upload_over_json_alone_is_refused_whole(api, world, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    make_adapter(world.health)
    body = {"base_version": 1, "x": "y" * 200}
    answer = api("alice").post("/api/v1/adapters/health/triage/versions", body, format="json")
    assert (answer.status_code, answer["Content-Type"]) == (413, PROBLEM)
