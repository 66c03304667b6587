from __future__ import annotations

import shutil

import pytest

from registry.access import SYSTEM
from registry.choices import BaseChange, BaseStatus, JobState
from registry.models import BaseModel
from registry.services import base_models, base_sources, datasets


@pytest.fixture
def ingest(db, run):
    base = BaseModel.objects.get_or_create(name="stories")[0]

    def made(source, **options):
        version = base_models.add_version(by=SYSTEM, base=base, source=source, **options)
        run(version.job)
        version.refresh_from_db()
        version.job.refresh_from_db()
        return version

    return made


@pytest.fixture
def copy(shared, settings, tmp_path):
    """A writable copy of the real base, below the only root."""
    root = tmp_path / "bases"
    shutil.copytree(shared / "base-models" / "stories260k-v1", root / "base")
    settings.BASE_ROOTS = [root.resolve()]
    return root / "base"


def test_it_stores_the_files_and_what_they_are(ingest, stories):
    version = ingest(stories("v1"))
    assert (version.status, version.change, version.parameter_count) == (
        BaseStatus.DRAFT,
        BaseChange.NONE,
        260_032,
    )
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= version.manifest.files.keys()
    assert any(row["kind"] == "linear" for row in version.module_table)


def test_it_says_what_an_update_changed(base, ingest, stories):
    assert ingest(stories("v2")).change == BaseChange.WEIGHTS


def test_it_notices_that_only_the_template_changed(base, ingest, copy):
    config = copy / "tokenizer_config.json"
    config.write_text(config.read_text().replace("User:", "Customer:"))
    assert ingest(copy.as_uri()).change == BaseChange.TEMPLATE


def test_it_refuses_pickled_weights(ingest, copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    version = ingest(copy.as_uri())
    assert (version.status, version.job.error["code"]) == (BaseStatus.FAILED, "pickle_refused")


def test_it_refuses_links_that_leave_the_roots(ingest, copy, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (copy / "generation_config.json").unlink()
    (copy / "generation_config.json").symlink_to(tmp_path / "secret.json")
    version = ingest(copy.as_uri())
    assert version.status == BaseStatus.FAILED
    assert "outside PLETHORA_BASE_ROOTS" in version.job.error["message"]


def test_it_fails_clearly_on_a_broken_model(ingest, copy):
    (copy / "model.safetensors").write_bytes(b"no tensors")
    version = ingest(copy.as_uri())
    assert (version.status, version.job.state) == (BaseStatus.FAILED, JobState.FAILED)
    assert version.job.error["param"] == "source"


@pytest.mark.parametrize("roots", [[], ["hf://"]], ids=["by the settings", "by the environment"])
def test_it_says_that_the_hub_is_off(ingest, settings, roots):
    settings.REMOTE_BASE_ROOTS = roots
    version = ingest("hf://org/repo@main")
    assert version.job.error["code"] == "hub_offline"
    assert "file://" in version.job.error["message"]


def test_tokens_are_counted_for_the_current_tokenizer(base, world, run, tmp_path):
    dataset = datasets.create(by=world.by("alice"), team=world.health, name="notes", vertical="healthcare")
    (tmp_path / "file").write_text('{"prompt": "a", "completion": "b"}\n')
    by = world.by("alice")
    version = datasets.add_version(by=by, dataset=dataset, file=tmp_path / "file", filename="f.jsonl")
    run(version.job)
    assert version.tokens.get(tokenizer_sha256=base.tokenizer_sha256).count > 2


def test_it_takes_only_a_models_files():
    for name in ("config.json", "model-00001-of-00002.safetensors", "tokenizer.json", "chat_template.jinja"):
        assert base_sources.TAKEN.fullmatch(name)
    for name in ("README.md", "modeling.py", "pytorch_model.bin", ".gitattributes"):
        assert not base_sources.TAKEN.fullmatch(name)
