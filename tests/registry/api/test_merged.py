from __future__ import annotations

import io
import zipfile
from datetime import timedelta

import pytest
from django.db import transaction

from registry.access import SYSTEM
from registry.choices import ArtifactState, MergedOnto
from registry.models import Artifact, MergedModel
from registry.services import artifacts, merging, sweeping, version_states
from tests.make import make_version
from tests.registry.api.test_adapter_versions import fetched

pytestmark = pytest.mark.usefixtures("store")
URL = "/api/v1/adapters/health/triage/versions/1"
FILES = {"config.json": b"{}", "model.safetensors": b"weights of a whole model"}


@pytest.fixture
def version(world):
    return make_version(world.health)


@pytest.fixture
def merged(version, tmp_path):
    """As its job leaves it."""
    row = merging.request(by=SYSTEM, version=version)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    files = {name: artifacts.upload(tmp_path / name) for name in FILES}
    with transaction.atomic():
        merging.stored(merged=row, files=files)
    row.refresh_from_db()
    return row


def body(answer):
    return b"".join(answer.streaming_content)


def test_it_queues_a_merge_once(api, version):
    first = api("erin").post(f"{URL}/merge", {}, format="json")
    assert (first.status_code, first.json()["measured_on"], first.json()["manifest"]) == (202, "16-bit", None)
    again = api("alice").post(f"{URL}/merge", {}, format="json")
    assert (again.status_code, again.json()["job"]) == (202, first.json()["job"])


def test_only_qlora_saw_a_dequantised_base(api, version):
    answer = api("alice").post(f"{URL}/merge", {"measured_on": "dequantised"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "not_quantised")


def test_it_does_not_merge_twice_on_different_bases(world):
    version = make_version(world.health, method="qlora")
    merging.request(by=SYSTEM, version=version)
    with pytest.raises(Exception, match="drop that one first"):
        merging.request(by=SYSTEM, version=version, measured_on=MergedOnto.DEQUANTISED)


def test_it_shows_and_streams_the_files(api, merged):
    told = api("bob").get(f"{URL}/merged").json()
    assert (sorted(told["manifest"]), told["bytes"]) == (sorted(FILES), sum(map(len, FILES.values())))
    status, headers, part = fetched(api("bob"), f"{URL}/merged/model.safetensors", Range="bytes=0-6")
    assert (status, part) == (206, b"weights")
    assert headers["ETag"] == f'"{told["manifest"]["model.safetensors"]["sha256"]}"'


def test_it_streams_a_zip(api, merged):
    answer = api("bob").get(f"{URL}/merged.zip")
    with zipfile.ZipFile(io.BytesIO(body(answer))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_it_is_kept_by_a_sweep_and_goes_when_dropped(api, merged, django_capture_on_commit_callbacks):
    assert sweeping.sweep(grace=timedelta())["artifacts"] == 0
    with django_capture_on_commit_callbacks(execute=True):
        assert api("erin").delete(f"{URL}/merged").status_code == 204
    assert api("erin").get(f"{URL}/merged").json()["code"] == "not_merged"
    states = Artifact.objects.filter(entries__manifest=merged.manifest).values_list("state", flat=True)
    assert set(states) == {ArtifactState.DESTROYED}


def test_it_dies_with_its_version(merged, version):
    version_states.withdraw(by=SYSTEM, version=version, reason="asked to")
    assert not MergedModel.objects.exists()
    states = Artifact.objects.filter(entries__manifest=merged.manifest).values_list("state", flat=True)
    assert set(states) == {ArtifactState.DESTROYED}


def test_a_quarantined_version_lets_no_byte_out(api, merged, version):
    version_states.quarantine(by=SYSTEM, version=version, reason="odd answers")
    for path in ("merged/config.json", "merged.zip"):
        assert api("alice").get(f"{URL}/{path}").json()["code"] == "not_downloadable"
    assert api("alice").post(f"{URL}/merge", {}, format="json").status_code == 202  # it is there already


def test_what_is_not_ready_is_not_merged(api, world):
    make_version(world.health, status="rejected")
    answer = api("alice").post(f"{URL}/merge", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "version_not_ready")


def test_it_cannot_be_dropped_while_it_is_made(api, version):
    merging.request(by=SYSTEM, version=version)
    assert api("alice").delete(f"{URL}/merged").json()["code"] == "merging"


def test_bob_may_only_read(api, merged):
    assert api("bob").post(f"{URL}/merge", {}, format="json").status_code == 403
    assert api("bob").delete(f"{URL}/merged").status_code == 403


def test_charlie_sees_nothing(api, merged):
    charlie = api("charlie")
    assert charlie.post(f"{URL}/merge", {}, format="json").status_code == 404
    for path in ("merged", "merged/config.json", "merged.zip"):
        assert charlie.get(f"{URL}/{path}").status_code == 404
    assert charlie.delete(f"{URL}/merged").status_code == 404
