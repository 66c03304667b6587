"""Versions that come of uploads: datasets, adapters, base models."""

from __future__ import annotations

import pytest

from registry.choices import ArtifactState
from registry.models import AdapterVersion, Artifact, BaseVersion, DatasetVersion, Upload
from registry.storage import store
from tests.make import adapter_files, make_adapter
from tests.registry.api.test_adapter_versions import zipped
from tests.registry.api.test_uploads import ROWS, announce, complete, named, send, sha

DATASET = "/api/v1/datasets/health/notes/versions"
ADAPTER = "/api/v1/adapters/health/triage/versions"
BASE = "/api/v1/base-models/llama/versions"
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def upload(api):
    """`upload(files)`: the id of a complete upload of the files, by path."""

    def made(files, who="alice", team="health"):
        body = announce(api, *(named(path, content) for path, content in files.items()), who=who, team=team).json()
        send(body, *files.values())
        assert complete(api, body, who).status_code == 200
        return body["id"]

    return made


@pytest.fixture
def dataset(api):
    api("alice").post("/api/v1/datasets", {"team": "health", "name": "notes", "vertical": "v"}, format="json")


def post(api, path, body, who="alice"):
    return api(who).post(path, body, format="json")


def test_a_dataset_version_comes_of_one(api, dataset, upload):
    pk = upload({"folder/rows one.jsonl": ROWS})
    answer = post(api, DATASET, {"upload": pk}, "erin")
    assert (answer.status_code, answer.json()["status"], answer.json()["sha256"]) == (202, "validating", sha(ROWS))
    assert list(DatasetVersion.objects.get().source.files) == ["rows_one.jsonl"]


def test_it_may_be_used_twice(api, dataset, upload):
    pk = upload({"rows.jsonl": ROWS})
    assert [post(api, DATASET, {"upload": pk}).json()["number"] for _ in range(2)] == [1, 2]


def test_an_adapter_version_comes_of_one(api, world, upload):
    make_adapter(world.health)
    pk = upload({f"adapter/{name}": content for name, content in adapter_files(seed=1).items()})
    answer = post(api, ADAPTER, {"upload": pk, "base_version": 1})
    assert (answer.status_code, answer.json()["status"]) == (202, "verifying")
    assert set(answer.json()["manifest"]) == {"adapter_config.json", "adapter_model.safetensors"}


def test_an_adapter_version_comes_of_a_zip(api, world, upload):
    make_adapter(world.health)
    loose = post(api, ADAPTER, {"upload": upload(adapter_files(seed=1)), "base_version": 1}).json()["manifest"]
    answer = post(api, ADAPTER, {"upload": upload(zipped(adapter_files(seed=1))), "base_version": 1})
    assert (answer.status_code, answer.json()["manifest"]) == (202, loose)


def test_it_fetches_no_zip_that_is_too_large(api, world, upload, settings):
    make_adapter(world.health)
    pk = upload(zipped(adapter_files(seed=1)))
    settings.MAX_UPLOAD_BYTES = 10
    answer = post(api, ADAPTER, {"upload": pk, "base_version": 1})
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "too_large", "upload")


def test_it_says_what_an_adapter_lacks(api, world, upload):
    make_adapter(world.health)
    answer = post(api, ADAPTER, {"upload": upload({"adapter_config.json": b"{}"}), "base_version": 1})
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (422, "file_missing", "upload")


def test_a_base_version_comes_of_one(api, upload):
    api("admin").post("/api/v1/base-models", {"name": "llama"}, format="json")
    pk = upload({"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"x"}, "admin")
    answer = post(api, BASE, {"source": f"upload:{pk}"}, "admin")
    assert (answer.status_code, answer.json()["status"]) == (202, "ingesting")


def test_it_says_what_a_base_model_lacks(api, upload):
    api("admin").post("/api/v1/base-models", {"name": "llama"}, format="json")
    answer = post(api, BASE, {"source": f"upload:{upload({'config.json': b'{}'}, 'admin')}"}, "admin")
    assert (answer.status_code, answer.json()["code"]) == (422, "weights_missing")
    assert not BaseVersion.objects.exists()


def test_it_is_used_only_by_its_own_team(api, world, dataset, upload):
    api("admin").post("/api/v1/base-models", {"name": "llama"}, format="json")
    make_adapter(world.health)
    theirs = upload({"rows.jsonl": ROWS}, "charlie", "finance")
    for path, body, who in (
        (DATASET, {"upload": theirs}, "alice"),
        (ADAPTER, {"upload": theirs, "base_version": 1}, "alice"),
        (BASE, {"source": f"upload:{theirs}"}, "admin"),
    ):
        answer = post(api, path, body, who)
        assert (answer.status_code, answer.json()["param"] in ("upload", "source")) == (404, True)
    assert not DatasetVersion.objects.exists()
    assert not AdapterVersion.objects.exists()


@pytest.mark.parametrize("pk", ["0", "x", "9" * 30, "-1", "\u0661"])
def test_an_unknown_one_is_404(api, dataset, pk):
    answer = post(api, DATASET, {"upload": pk})
    assert (answer.status_code, answer.json()["param"]) == (404, "upload")


def test_only_a_complete_one_is_used(api, dataset):
    answer = post(api, DATASET, {"upload": announce(api).json()["id"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_not_complete")


def test_a_dataset_version_comes_of_one_file(api, dataset, upload):
    answer = post(api, DATASET, {"upload": upload({"a": b"a", "b": b"b"})})
    assert (answer.status_code, answer.json()["errors"][0]["param"]) == (422, "upload")


def test_a_withdrawal_takes_the_upload_with_it(api, dataset, upload, django_capture_on_commit_callbacks):
    pk = upload({"rows.jsonl": ROWS})
    post(api, DATASET, {"upload": pk})
    DatasetVersion.objects.update(status="ready", manifest=DatasetVersion.objects.get().source)
    with django_capture_on_commit_callbacks(execute=True):
        assert api("alice").post(f"{DATASET}/1/withdraw", {"reason": "r"}, format="json").status_code == 200
    assert Upload.objects.get(pk=pk).state == "expired"
    assert Artifact.objects.get().state == ArtifactState.DESTROYED
    assert list(store().keys("")) == []


def test_a_trainers_folder_is_its_adapter_not_a_checkpoints(api, world, upload):
    make_adapter(world.health)
    top, below = adapter_files(seed=1), adapter_files(seed=2)
    files = {f"out/{name}": content for name, content in top.items()}
    files |= {f"out/checkpoint-5/{name}": content for name, content in below.items()}
    made = post(api, ADAPTER, {"upload": upload(files), "base_version": 1}).json()
    assert made["manifest"]["adapter_model.safetensors"]["sha256"] == sha(top["adapter_model.safetensors"])
