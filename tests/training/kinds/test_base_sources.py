"""Bases from a Hub, from where they are, and again after a failure: real loading code, a local peer."""

from __future__ import annotations

import hashlib
import shutil
from datetime import timedelta

import pytest

from registry.access import SYSTEM
from registry.choices import ArtifactState, BaseStatus, JobState
from registry.errors import Conflict, Invalid
from registry.models import Artifact, BaseModel, Job, JobCheckpoint
from registry.services import artifacts, base_models, scrubbing, sweeping
from registry.storage import artifact_key, store
from tests.training import hub
from tests.training.hub import COMMIT, REPO
from training import cache

SOURCE = f"hf://{REPO}@main"


@pytest.fixture
def copy(shared, settings, tmp_path):
    """A writable copy of the real base, below the only root."""
    root = tmp_path / "bases"
    shutil.copytree(shared / "base-models" / "stories260k-v1", root / "base")
    settings.BASE_ROOTS = [root.resolve()]
    return root / "base"


@pytest.fixture
def peer(copy, settings, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub.serving(copy) as running:
        settings.HF_ENDPOINT, settings.REMOTE_BASE_ROOTS = running.url, ["hf://org"]
        yield running


@pytest.fixture
def add(db):
    base = BaseModel.objects.get_or_create(name="stories")[0]
    return lambda source, **options: base_models.add_version(by=SYSTEM, base=base, source=source, **options)


@pytest.fixture
def ingest(add, run):
    def made(source, **options):
        version = add(source, **options)
        run(version.job)
        version.refresh_from_db()
        version.job.refresh_from_db()
        return version

    return made


class TestHub:
    def test_it_takes_a_models_files_at_the_commit_that_it_saw(self, ingest, peer, copy):
        (copy / "modeling.py").write_text("print('never run')")
        version = ingest(SOURCE)
        assert (version.status, version.revision) == (BaseStatus.DRAFT, COMMIT), version.job.error
        assert "modeling.py" not in version.manifest.files
        assert all(f"/resolve/{COMMIT}/" in path for path in peer.asked if "/resolve/" in path)
        assert version.job.progress["bytes_done"] == version.job.progress["bytes"] > 0

    def test_a_retry_asks_only_for_what_is_missing(self, add, run, peer, settings):
        peer.torn = {"tokenizer.json"}
        version = add(SOURCE)
        job = run(version.job)
        assert (job.state, job.error["code"]) == (JobState.QUEUED, "hub_unreachable")
        kept = set(peer.downloads()) - peer.torn
        assert "model.safetensors" in kept
        peer.asked.clear()
        peer.torn = set()
        job = run(version.job)
        assert (job.state, job.error) == (JobState.SUCCEEDED, None)
        assert not kept & set(peer.downloads())

    def test_what_an_attempt_has_stored_is_kept_from_sweeps_until_the_job_ends(self, add, run, peer):
        peer.torn = {"tokenizer.json"}
        version = add(SOURCE)
        run(version.job)
        kept = hashlib.sha256((peer.folder / "model.safetensors").read_bytes()).hexdigest()
        assert kept not in sweeping.sweep(grace=timedelta())["digests"]
        Job.objects.filter(pk=version.job.pk).update(lost_attempts=2)
        assert run(version.job).state == JobState.FAILED
        assert not JobCheckpoint.objects.exists()
        assert kept in sweeping.sweep(grace=timedelta())["digests"]

    def test_a_revision_that_is_none_is_a_reason_and_no_traceback(self, ingest, peer):
        version = ingest(f"hf://{REPO}@missing")
        assert (version.status, version.job.error["code"]) == (BaseStatus.FAILED, "hub_refused")
        assert "Traceback" not in version.status_reason

    def test_buckets_are_narrowed_too(self, add, settings):
        settings.REMOTE_BASE_ROOTS = ["s3://models/llama"]
        for source in ("s3://other/llama", "s3://models/llama-2"):
            with pytest.raises(Invalid, match="PLETHORA_BASE_ROOTS"):
                add(source)
        assert add("s3://models/llama/8b").source == "s3://models/llama/8b"

    def test_it_is_asked_only_where_the_settings_name_it(self, add, settings):
        settings.REMOTE_BASE_ROOTS = ["hf://other"]
        with pytest.raises(Invalid, match="PLETHORA_BASE_ROOTS") as refused:
            add(SOURCE)
        assert refused.value.code == "source_not_allowed"


class TestReference:
    def test_the_files_stay_where_they_are(self, ingest, copy):
        version = ingest(copy.as_uri(), reference=True)
        assert version.status == BaseStatus.DRAFT, version.job.error
        digest = version.manifest.files["model.safetensors"]["sha256"]
        assert Artifact.objects.get(pk=digest).state == ArtifactState.REFERENCED
        assert store().size(artifact_key(digest)) is None
        assert (cache.folder_of(version.manifest) / "model.safetensors").readlink() == copy / "model.safetensors"

    def test_a_changed_file_is_refused_at_each_load(self, ingest, copy, tmp_path):
        version = ingest(copy.as_uri(), reference=True)
        cache.folder_of(version.manifest)
        (copy / "generation_config.json").write_text("{}")
        with pytest.raises(Conflict, match="was changed"):
            cache.folder_of(version.manifest)
        with pytest.raises(Conflict, match="was changed"):
            artifacts.fetch_manifest(version.manifest, tmp_path / "engine")

    def test_a_scrub_finds_it_too(self, ingest, copy):
        version = ingest(copy.as_uri(), reference=True)
        (copy / "generation_config.json").unlink()
        found = scrubbing.scrub(most_bytes=10**9)
        assert [one["bases"] for one in found["findings"]] == [[version.address]]

    def test_only_a_folder_can_be_referenced(self, add):
        with pytest.raises(Invalid, match="leave out reference"):
            add("s3://bucket/prefix", reference=True)
