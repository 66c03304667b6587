from __future__ import annotations

import pickle

import pytest
from safetensors.torch import load_file, save_file

from registry.choices import ArtifactState, VersionStatus
from registry.errors import Conflict, Invalid
from registry.models import Artifact
from registry.services import adapters, imports


@pytest.fixture
def bring(world, base, run):
    adapter = adapters.create(
        by=world.by("alice"), team=world.health, name="triage", vertical="healthcare", base_model=base.base_model
    )

    def made(folder):
        files = {path.name: path for path in folder.iterdir()}
        version = imports.create(by=world.by("alice"), adapter=adapter, base_version=base, files=files)
        run(version.job)
        version.refresh_from_db()
        version.job.refresh_from_db()
        return version

    return made


def changed(folder, target, change):
    """A copy of the adapter whose tensors were changed."""
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(change(tensors), target / "adapter_model.safetensors", metadata={"format": "pt"})
    (target / "adapter_config.json").write_bytes((folder / "adapter_config.json").read_bytes())
    return target


def test_it_takes_what_peft_saved(bring, peft_folder):
    version = bring(peft_folder)
    assert (version.status, version.rank, version.alpha) == (VersionStatus.READY, 4, 8.0)
    assert (version.peft_loadable, version.vllm_servable) == (True, True)
    assert version.target_modules == ["q_proj", "v_proj"]
    assert version.probe["logprobs"]["adapter"] != version.probe["logprobs"]["base"]
    assert list(version.manifest.files) == ["adapter_config.json", "adapter_model.safetensors"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: {k.replace("base_model.model.", ""): v for k, v in t.items()}, "base_model.model"),
        (lambda t: {k: v[..., :-1].contiguous() for k, v in t.items()}, "this base needs"),
        (lambda t: {k: v * float("nan") for k, v in t.items()}, "NaN"),
        (lambda t: {k: v * 0 if "lora_B" in k else v for k, v in t.items()}, "zero"),
    ],
    ids=["names", "shapes", "nan", "zero"],
)
def test_it_rejects_with_reasons_and_keeps_nothing(bring, peft_folder, tmp_path, change, says):
    (tmp_path / "bad").mkdir()
    version = bring(changed(peft_folder, tmp_path / "bad", change))
    assert version.status == VersionStatus.REJECTED
    assert says in version.job.error["message"]
    weights = version.manifest.files["adapter_model.safetensors"]["sha256"]
    assert Artifact.objects.get(pk=weights).state == ArtifactState.DESTROYED


def test_it_rejects_a_pickle_under_another_name(bring, peft_folder, tmp_path):
    (tmp_path / "adapter_config.json").write_bytes((peft_folder / "adapter_config.json").read_bytes())
    (tmp_path / "adapter_model.safetensors").write_bytes(pickle.dumps({"a": 1}))
    files = tmp_path / "files"
    files.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).rename(files / name)
    version = bring(files)
    assert version.status == VersionStatus.REJECTED
    assert "pickle" in version.job.error["message"]


def test_it_refuses_a_pickle_at_once(db, tmp_path):
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(Invalid, match="pickle"):
        imports.chosen_files({"adapter_model.bin": tmp_path / "adapter_model.bin"})


def test_it_refuses_a_draft_base(world, base, peft_folder):
    adapter = adapters.create(
        by=world.by("alice"), team=world.health, name="x", vertical="healthcare", base_model=base.base_model
    )
    base.status = "draft"
    files = {path.name: path for path in peft_folder.iterdir()}
    with pytest.raises(Conflict, match="draft"):
        imports.create(by=world.by("alice"), adapter=adapter, base_version=base, files=files)
