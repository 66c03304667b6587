"""A merged model, made by the real child, answers as the base with its adapter."""

from __future__ import annotations

import pytest
import torch

from registry.access import SYSTEM
from registry.choices import JobState, MergedOnto
from registry.models import MergedModel
from registry.services import artifacts, jobs, merging, version_states
from tests.make import make_manifest, make_version


@pytest.fixture
def version(world, base, peft_folder):
    files = {path.name: path.read_bytes() for path in peft_folder.iterdir() if path.suffix != ".md"}
    return make_version(world.health, base=base, manifest=make_manifest(files))


@pytest.fixture
def merge(run):
    def made(version, **options):
        merged = merging.request(by=SYSTEM, version=version, **options)
        return run(merged.job)

    return made


def logits(folder, adapter=None):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 20)[None]).logits


def test_it_answers_as_base_and_adapter(version, merge, shared, peft_folder, tmp_path):
    job = merge(version)
    assert (job.state, job.result["measured_on"]) == (JobState.SUCCEEDED, "16-bit"), job.error
    folder = artifacts.fetch_manifest(MergedModel.objects.get().manifest, tmp_path / "merged")
    assert job.result["manifest"].keys() >= {"model.safetensors", "config.json", "tokenizer.json"}
    base = shared / "base-models" / "stories260k-v1"
    torch.testing.assert_close(logits(folder), logits(base, peft_folder), atol=1e-4, rtol=1e-4)
    assert float((logits(folder) - logits(base)).abs().max()) > 1e-2


def test_a_qlora_version_may_be_merged_on_what_it_saw(world, base, peft_folder, merge, tmp_path):
    files = {path.name: path.read_bytes() for path in peft_folder.iterdir() if path.suffix != ".md"}
    version = make_version(world.health, base=base, manifest=make_manifest(files), method="qlora")
    job = merge(version, measured_on=MergedOnto.DEQUANTISED)
    assert (job.state, job.result["measured_on"]) == (JobState.SUCCEEDED, "dequantised"), job.error


def test_a_failed_merge_leaves_nothing_and_may_be_asked_for_again(version, merge):
    first = merging.request(by=SYSTEM, version=version)
    jobs.cancel(by=SYSTEM, job_id=first.job_id)
    assert not MergedModel.objects.exists()
    assert merging.request(by=SYSTEM, version=version).job_id != first.job_id


def test_a_version_that_was_withdrawn_meanwhile_is_not_merged(version, run):
    merged = merging.request(by=SYSTEM, version=version)
    version_states.withdraw(by=SYSTEM, version=version, reason="asked to")
    assert run(merged.job).error["code"] == "merge_dropped"
