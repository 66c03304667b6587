from __future__ import annotations

import gzip
import json
from itertools import islice

import pytest

from registry.choices import ArtifactState, DatasetStatus, JobState
from registry.models import Artifact
from registry.services import datasets, jobs
from tests.make import make_dataset_version, make_manifest
from training.rows.canonical import digest_of, split_of

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


def make_rows(dataset, split, count):
    """Lines of which validation puts each into `split` of the dataset."""
    lines = (LINE % i for i in range(10_000))
    chosen = (line for line in lines if split_of(digest_of(json.loads(line)), dataset.salt) == split)
    return list(islice(chosen, count))


def test_it_warns_of_rows_that_are_test_rows_elsewhere(upload, run, world):
    other = datasets.create(by=world.by("alice"), team=world.health, name="exam", vertical="healthcare")
    examined = make_rows(other, "test", 6)
    lines = "".join(line + "\n" for line in map(str.strip, examined)).encode()
    held = [{**json.loads(line), "split": "test"} for line in examined]
    text = "".join(json.dumps(row) + "\n" for row in held).encode()
    make_dataset_version(world.health, "exam", manifest=make_manifest({"rows.jsonl": text}))
    version = upload(lines + (LINE % 99_999).encode())
    run(version.job)
    version.refresh_from_db()
    (overlap,) = version.report["overlaps"]
    elsewhere = sum(split_of(digest_of(row), version.dataset.salt) != "test" for row in held)
    assert overlap == {"dataset": "health/exam@1", "rows": 6, "trained": elsewhere}
    assert "overlap" in [warning["code"] for warning in version.report["warnings"]]


def test_another_teams_test_rows_are_not_looked_at(upload, run, world):
    row = {**json.loads(LINE % 1), "split": "test"}
    manifest = make_manifest({"rows.jsonl": (json.dumps(row) + "\n").encode()})
    make_dataset_version(world.finance, "exam", manifest=manifest)
    version = upload((LINE % 1).encode())
    run(version.job)
    version.refresh_from_db()
    assert version.report["overlaps"] == []


def test_it_says_how_many_rows_each_current_base_would_cut(upload, run, base):
    long = LINE.replace("q%d", "a long story " * 2000)
    version = upload(("".join(LINE % i for i in range(9)) + long).encode())
    run(version.job)
    version.refresh_from_db()
    (found,) = version.report["truncation"]
    assert (found["base"], found["context_length"], found["rows"], found["share"]) == ("stories@1", 512, 1, 0.1)
    assert "truncated" in [warning["code"] for warning in version.report["warnings"]]
