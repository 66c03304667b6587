from __future__ import annotations

import hashlib
import io
import json
import zipfile

import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from registry.choices import ArtifactState
from registry.models import AdapterVersion, Alias, Artifact, AuditEvent, Job
from registry.storage import artifact_key, store
from tests.make import adapter_files, make_adapter, make_base_version, make_version

ONE = "/api/v1/adapters/health/triage"
pytestmark = pytest.mark.usefixtures("store")


def bring(api, who="alice", files=None, base_version=1):
    contents = adapter_files(seed=7) if files is None else files
    uploads = [SimpleUploadedFile(name, content) for name, content in contents.items()]
    body = {"files": uploads, "base_version": base_version}
    return api(who).post(f"{ONE}/versions", body, format="multipart")


def fetched(client, path, **headers):
    """Status, headers and bytes of a file: on S3 those of the store, to which the answer leads."""
    answer = client.get(path, headers=headers)
    if answer.status_code != 302:
        return answer.status_code, answer.headers, b"".join(answer) if answer.streaming else answer.content
    stored = httpx.get(answer["Location"], headers=headers)
    stored.headers["ETag"] = answer["ETag"]
    return stored.status_code, stored.headers, stored.content


def test_it_takes_a_peft_folder_and_queues_its_check(api, world):
    make_adapter(world.health)
    answer = bring(api, "erin")
    assert (answer.status_code, answer.json()["status"]) == (202, "verifying")
    assert Job.objects.get(pk=answer.json()["job"]).kind == "verify_import"
    assert set(answer.json()["manifest"]) == {"adapter_config.json", "adapter_model.safetensors"}


def zipped(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return {"adapter.zip": made.getvalue()}


def test_it_takes_a_zip_of_a_peft_folder(api, world):
    make_adapter(world.health)
    loose = bring(api).json()["manifest"]
    folder = {f"out/{name}": data for name, data in adapter_files(seed=7).items()}
    deeper = {"out/checkpoint-5/adapter_config.json": b"{}", "out/checkpoint-5/adapter_model.safetensors": b"old"}
    answer = bring(api, files=zipped({**deeper, **folder}))
    assert (answer.status_code, answer.json()["manifest"]) == (202, loose)


def test_it_refuses_a_zip_that_leads_out(api, world):
    make_adapter(world.health)
    answer = bring(api, files=zipped({**adapter_files(seed=7), "../evil": b"x"}))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "traversal")
    assert not AdapterVersion.objects.exists()


def test_it_asks_which_of_two_adapters_is_meant(api, world):
    make_adapter(world.health)
    both = {f"{folder}/{name}": data for folder in "ab" for name, data in adapter_files(seed=7).items()}
    answer = bring(api, files=zipped(both))
    assert (answer.status_code, answer.json()["code"]) == (422, "ambiguous")


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("charlie", 404), (None, 401)])
def test_only_editors_import(api, world, who, status):
    make_adapter(world.health)
    assert bring(api, who).status_code == status
    assert not AdapterVersion.objects.exists()


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_it_says_which_file_is_missing(api, world, missing):
    make_adapter(world.health)
    answer = bring(api, files={k: v for k, v in adapter_files(seed=1).items() if k != missing})
    assert (answer.status_code, answer.json()["param"]) == (422, "files")
    assert missing in answer.json()["detail"]


def test_it_refuses_a_pickle(api, world):
    make_adapter(world.health)
    answer = bring(api, files={"adapter_config.json": b"{}", "adapter_model.bin": b"\x80\x02"})
    assert (answer.status_code, answer.json()["code"]) == (422, "pickle_refused")


def test_an_unknown_base_version_is_missing(api, world):
    make_adapter(world.health)
    assert bring(api, base_version=9).status_code == 404
    assert bring(api, base_version="x").json()["param"] == "base_version"


def test_it_shows_a_version_as_the_contract_says(api, world):
    version = make_version(world.health)
    body = api("bob").get(f"{ONE}/versions/1").json()
    assert (body["address"], body["base"]) == ("health/triage@1", {"model": "llama", "version": 1})
    assert body["manifest_sha256"] == version.manifest_sha256
    assert (body["share_of_base"], body["dataset"], body["aliases"]) == (0.064, None, [])
    assert body["stale"] == {"reasons": []}


def test_an_alias_names_a_version(api, world):
    version = make_version(world.health)
    Alias.objects.create(adapter=version.adapter, name="production", version=version)
    assert api("bob").get(f"{ONE}/versions/@production").json()["aliases"] == ["production"]
    for ref in ("@none", "7", "x", "999999999999999999999"):
        assert api("bob").get(f"{ONE}/versions/{ref}").status_code == 404


PATHS = ["", "/files/adapter_config.json", "/archive.zip"]


@pytest.mark.parametrize("path", PATHS)
def test_it_hides_another_teams_versions(api, world, path):
    make_version(world.health)
    assert fetched(api("bob"), f"{ONE}/versions/1{path}")[0] == 200
    assert api("charlie").get(f"{ONE}/versions/1{path}").status_code == 404
    assert api("charlie").get(f"{ONE}/versions").status_code == 404


def test_who_took_what_away_is_on_the_record(api, world, settings, tmp_path):
    settings.STORE = (tmp_path / "disk").as_uri()  # an S3 store is itself asked for the range
    version = make_version(world.health)
    for path in ("", "/files/adapter_config.json", "/files/nothing", "/archive.zip"):
        fetched(api("bob"), f"{ONE}/versions/1{path}")
    fetched(api("bob"), f"{ONE}/versions/1/files/adapter_model.safetensors", Range="bytes=0-3")
    api("charlie").get(f"{ONE}/versions/1/archive.zip")
    events = AuditEvent.objects.filter(action="adapter_version.download").order_by("at")
    bob = world.tokens["bob"].split("_")[1]
    assert {(event.token, event.object) for event in events} == {(bob, f"adapter:{version.address}")}
    taken = [(event.after["path"], event.after.get("range", "")[:10]) for event in events]
    assert taken == [("adapter_config.json", ""), ("archive.zip", ""), ("adapter_model.safetensors", "bytes 0-3/")]


def test_a_file_carries_its_digest(api, world):
    make_version(world.health)
    path = f"{ONE}/versions/1/files/adapter_model.safetensors"
    _, headers, content = fetched(api("bob"), path)
    digest = hashlib.sha256(content).hexdigest()
    assert headers["ETag"] == f'"{digest}"'
    assert api("bob").get(path, HTTP_IF_NONE_MATCH=f'"{digest}"').status_code == 304


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-3", slice(0, 4)), ("bytes=5-", slice(5, None)), ("bytes=-4", slice(-4, None))],
)
def test_a_range_gives_a_part(api, world, asked, part):
    make_version(world.health)
    path = f"{ONE}/versions/1/files/adapter_config.json"
    _, _, whole = fetched(api("bob"), path)
    status, headers, content = fetched(api("bob"), path, Range=asked)
    assert (status, content) == (206, whole[part])
    assert headers["Content-Length"] == str(len(whole[part]))


def test_a_range_past_the_end_is_refused(api, world):
    make_version(world.health)
    status, _, _ = fetched(api("bob"), f"{ONE}/versions/1/files/adapter_config.json", Range="bytes=999999-")
    assert status == 416


@pytest.mark.parametrize("path", ["nothing", "../adapter_config.json", "/etc/passwd"])
def test_only_the_versions_own_files_are_served(api, world, path):
    make_version(world.health)
    assert api("bob").get(f"{ONE}/versions/1/files/{path}").status_code == 404


def test_the_zip_is_a_peft_folder_with_a_card(api, world):
    make_version(world.health)
    _, _, content = fetched(api("bob"), f"{ONE}/versions/1/archive.zip")
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert sorted(archive.namelist()) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert json.loads(archive.read("adapter_config.json"))["peft_type"] == "LORA"
    assert "health/triage@1" in archive.read("README.md").decode()


@pytest.mark.parametrize("act", ["archive", "withdraw", "quarantine"])
def test_only_maintainers_end_versions(api, world, act):
    make_version(world.health)
    for who, status in (("erin", 403), ("bob", 403), ("charlie", 404)):
        assert api(who).post(f"{ONE}/versions/1/{act}", {}, format="json").status_code == status


@pytest.mark.parametrize("act", ["archive", "withdraw"])
def test_what_an_alias_names_cannot_be_ended(api, world, act):
    version = make_version(world.health)
    Alias.objects.create(adapter=version.adapter, name="production", version=version)
    answer = api("alice").post(f"{ONE}/versions/1/{act}", {"reason": "r"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert "production" in answer.json()["detail"]


def test_quarantine_works_on_what_is_in_use_and_can_be_undone(api, world):
    version = make_version(world.health)
    Alias.objects.create(adapter=version.adapter, name="production", version=version)
    assert api("alice").post(f"{ONE}/versions/1/quarantine", {}, format="json").json()["status"] == "quarantined"
    assert api("bob").get(f"{ONE}/versions/1/archive.zip").status_code == 409
    assert api("alice").post(f"{ONE}/versions/1/restore", {}, format="json").json()["status"] == "ready"


@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_what_was_harmed_in_quarantine_is_not_restored(api, world, tmp_path, harm):
    version = make_version(world.health)
    api("alice").post(f"{ONE}/versions/1/quarantine", {}, format="json")
    digest = version.manifest.files["adapter_model.safetensors"]["sha256"]
    store().delete(artifact_key(digest))
    if harm == "changed":
        (tmp_path / "other").write_bytes(b"other")
        store().put(artifact_key(digest), tmp_path / "other", sha256=hashlib.sha256(b"other").hexdigest())
    answer = api("alice").post(f"{ONE}/versions/1/restore", {"reason": "r"}, format="json")
    code = {"missing": "bytes_missing", "changed": "bytes_corrupt"}[harm]
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert "adapter_model.safetensors" in answer.json()["detail"]
    assert api("bob").get(f"{ONE}/versions/1").json()["status"] == "quarantined"


@pytest.mark.parametrize(("who", "status"), [("erin", 403), ("bob", 403), ("charlie", 404), ("alice", 200)])
def test_only_maintainers_restore(api, world, who, status):
    make_version(world.health, status="archived")
    assert api(who).post(f"{ONE}/versions/1/restore", {}, format="json").status_code == status


def test_a_withdrawn_version_is_gone_for_good(api, world, django_capture_on_commit_callbacks):
    version = make_version(world.health)
    with django_capture_on_commit_callbacks(execute=True):
        body = api("alice").post(f"{ONE}/versions/1/withdraw", {"reason": "r"}, format="json").json()
    assert (body["status"], body["manifest_sha256"]) == ("withdrawn", version.manifest_sha256)
    weights = version.manifest.files["adapter_model.safetensors"]["sha256"]
    assert Artifact.objects.get(pk=weights).state == ArtifactState.DESTROYED
    assert api("alice").get(f"{ONE}/versions/1/archive.zip").status_code == 409
    assert api("alice").post(f"{ONE}/versions/1/restore", {}, format="json").status_code == 409


def test_a_page_of_versions_costs_the_same_number_of_queries_however_long(
    api, world, django_assert_max_num_queries
):
    for _ in range(4):
        make_version(world.health)
    make_base_version()
    with django_assert_max_num_queries(25):
        assert len(api("bob").get(f"{ONE}/versions").json()["results"]) == 4
