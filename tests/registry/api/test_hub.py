from __future__ import annotations

import hashlib

import pytest

from registry.access import SYSTEM
from registry.choices import VersionStatus
from registry.services import aliases
from tests.make import make_version

INFO = "/hf/api/models/health/triage"
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def version(world, store):
    made = make_version(world.health)
    aliases.move(by=SYSTEM, adapter=made.adapter, name="production", version=made, reason="")
    return made


@pytest.mark.parametrize("revision", ["v1", "production", "main", "{commit}"])
def test_it_names_the_commit_of_a_revision(api, version, revision):
    commit = version.manifest_sha256[:40]
    told = api("bob").get(f"{INFO}/revision/{revision.format(commit=commit)}").json()
    assert (told["id"], told["sha"]) == ("health/triage", commit)
    assert {file["rfilename"] for file in told["siblings"]} == {"README.md", *version.manifest.files}


def test_it_lists_the_files_with_their_digests(api, version):
    listed = {file["path"]: file["lfs"]["oid"] for file in api("bob").get(f"{INFO}/tree/main").json()}
    assert {path: listed[path] for path in version.manifest.files} == {
        path: file["sha256"] for path, file in version.manifest.files.items()
    }


@pytest.mark.parametrize("file", ["README.md", "adapter_config.json"])
def test_a_head_says_what_a_get_sends(api, version, file):
    path = f"/hf/health/triage/resolve/v1/{file}"
    head = api("bob").head(path)
    assert head.content == b""
    if (answer := api("bob").get(path)).status_code == 200:  # on S3 the store sends it
        content = b"".join(answer) if answer.streaming else answer.content
        assert head["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert int(head["Content-Length"]) == len(content)
    assert head["X-Repo-Commit"] == answer["X-Repo-Commit"] == version.manifest_sha256[:40]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{INFO}/revision/v9", "RevisionNotFound"),
        (f"{INFO}/revision/nowhere", "RevisionNotFound"),
        ("/hf/health/triage/resolve/v1/pytorch_model.bin", "EntryNotFound"),
        ("/hf/api/models/health/nothing", "RepoNotFound"),
    ],
)
def test_it_tells_what_is_missing(api, version, path, code):
    answer = api("bob").get(path)
    assert (answer.status_code, answer["X-Error-Code"]) == (404, code)


@pytest.mark.parametrize(("who", "status"), [("charlie", 404), (None, 401)])
def test_it_shows_nothing_to_others(api, version, who, status):
    for path in (INFO, f"{INFO}/tree/main", "/hf/health/triage/resolve/v1/adapter_config.json"):
        answer = api(who).get(path)
        assert (answer.status_code, answer["X-Error-Code"]) == (status, "RepoNotFound")


def test_what_is_quarantined_can_not_be_had(api, version):
    type(version).objects.filter(pk=version.pk).update(status=VersionStatus.QUARANTINED)
    assert api("bob").get(f"{INFO}/revision/v1").status_code == 409
