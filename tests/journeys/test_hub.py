"""What people load adapters with from the Hugging Face Hub, pointed at us by `HF_ENDPOINT` alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.serving.engine.make import save_adapter, save_base
from tests.serving.installation import end, install

# Another process: the Hub's address is read when its client is imported.
LOAD = """
import json, sys
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from peft import PeftModel
from transformers import AutoModelForCausalLM

base, own = sys.argv[1:]
tokens = torch.arange(1, 9)[None]

def logits(where, **revision):
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), where, **revision)
    return model(tokens).logits

def refusal(call):
    try:
        return call()
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        return type(error).__name__

folders = {name: snapshot_download("health/triage", revision=name) for name in ("v1", "production", "main")}
print(json.dumps({
    "folders": folders,
    "apart": (logits("health/triage", revision="production") - logits(own)).abs().max().item(),
    "no_revision": refusal(lambda: snapshot_download("health/triage", revision="v7")),
    "no_adapter": refusal(lambda: snapshot_download("health/nothing")),
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    home = tmp_path_factory.mktemp("hub")
    site = install(home, adapters=["triage"], real=True)
    web = site.start("web")
    site.wait_for(site.port)
    env = {
        **site.env,
        "HF_ENDPOINT": f"http://127.0.0.1:{site.port}/hf",
        "HF_TOKEN": site.seed["token"],
        "HF_HOME": str(home / "cache"),
        "HF_HUB_OFFLINE": "0",
    }
    folders = [str(save_base(home / "base")), str(save_adapter(home / "adapter", seed=1))]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *folders], env=env, capture_output=True, text=True, check=False
    )
    end(web)
    assert done.returncode == 0, done.stderr
    return site, json.loads(done.stdout.splitlines()[-1])


def test_a_snapshot_is_one_commit_whatever_names_it(loaded):
    site, told = loaded
    assert {folder.rpartition("/")[2] for folder in told["folders"].values()} == {
        site.seed["adapters"]["triage"]["digest"][:40]
    }


def test_peft_loads_the_very_adapter(loaded):
    assert loaded[1]["apart"] == 0.0


def test_what_is_missing_is_told_apart(loaded):
    _, told = loaded
    assert (told["no_revision"], told["no_adapter"]) == ("RevisionNotFoundError", "RepositoryNotFoundError")
