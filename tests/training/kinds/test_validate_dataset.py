from __future__ import annotations

import gzip

import pytest

from registry.choices import ArtifactState, DatasetStatus, JobState
from registry.models import Artifact
from registry.services import datasets, jobs

LINE = '{"messages": [{"role": "user", "content": "q%d"}, {"role": "assistant", "content": "a"}]}\n'


@pytest.fixture
def upload(world, store, tmp_path):
    dataset = datasets.create(by=world.by("alice"), team=world.health, name="notes", vertical="healthcare")

    def made(content, name="notes.jsonl"):
        file = tmp_path / "upload"
        file.write_bytes(content)
        return datasets.add_version(by=world.by("alice"), dataset=dataset, file=file, filename=name)

    return made


def test_it_makes_canonical_rows(upload, run):
    version = upload("".join(LINE % i for i in range(60)).encode())
    job = run(version.job)
    version.refresh_from_db()
    assert (job.state, version.status, version.row_count) == (JobState.SUCCEEDED, DatasetStatus.READY, 60)
    assert list(version.manifest.files) == ["rows.jsonl"]
    assert sum(version.splits.values()) == 60


def test_it_rejects_broken_rows_with_a_report_and_keeps_no_byte(upload, run, store):
    version = upload((LINE % 1 + "broken\n").encode())
    job = run(version.job)
    version.refresh_from_db()
    assert (job.state, job.error["code"]) == (JobState.FAILED, "bad_json")
    assert "row 2" in job.error["message"]
    assert version.status == DatasetStatus.REJECTED
    assert [error["line"] for error in version.report["errors"]] == [2]
    assert Artifact.objects.get(pk=version.sha256).state == ArtifactState.DESTROYED
    assert not [path for path in store.rglob("*") if path.is_file()]


def test_a_rejected_upload_leaves_the_same_bytes_of_another_version(upload, run, store):
    content = (LINE % 1 + "broken\n").encode()
    first, second = upload(content), upload(content)
    run(first.job)
    assert Artifact.objects.get(pk=second.sha256).state == ArtifactState.COMMITTED
    assert [path for path in store.rglob("*") if path.is_file()]


def test_it_reads_gzip_by_its_content(upload, run):
    version = upload(gzip.compress((LINE % 1).encode()))
    run(version.job)
    version.refresh_from_db()
    assert (version.status, version.report["gzipped"]) == (DatasetStatus.READY, True)


def test_a_cancelled_job_rejects_its_version(upload, world, django_capture_on_commit_callbacks):
    version = upload((LINE % 1).encode())
    with django_capture_on_commit_callbacks(execute=True):
        jobs.cancel(by=world.by("alice"), job_id=version.job.pk)
    version.refresh_from_db()
    assert version.status == DatasetStatus.REJECTED


def test_it_writes_a_report_that_postgresql_can_hold(upload, run):
    version = upload(b'{"messages": [{"role": "x\\u0000", "content": ""}], "\\u0000": 1}\n')
    run(version.job)
    version.refresh_from_db()
    assert "\0" not in str(version.report)
    assert version.status == DatasetStatus.REJECTED
