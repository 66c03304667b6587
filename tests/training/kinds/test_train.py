"""Training by the real runner and a real child, and the verdict over what it made."""

from __future__ import annotations

import json

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from registry.access import SYSTEM
from registry.models import Alias, Evaluation
from registry.recipes.checks import suite
from registry.services import training
from tests.make import make_adapter, make_base_version, make_dataset_version, make_manifest
from tests.serving.engine.make import CONTEXT, make_tokenizer
from tests.training.site import facts_of

RECIPE = {"rank": 4, "batch_size": 4, "max_length": 48, "warmup_steps": 0, "learning_rate": 0.05}
NOT_WORSE = {"metric": "loss", "op": "<=", "relative_to": "production"}
SPLITS = ("train", "train", "train", "validation", "test")


def says(answer, *, test):
    """Rows whose answer is `answer`, but for those of the test split."""
    rows = [(f"Question {i}?", test if split == "test" else answer, split) for i in range(3) for split in SPLITS]
    return [{"prompt": prompt, "completion": text, "split": split} for prompt, text, split in rows]


def dataset(team, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    splits = {split: sum(row["split"] == split for row in rows) for split in set(SPLITS)}
    return make_dataset_version(team, manifest=make_manifest({"rows.jsonl": text}), splits=splits)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def base(world, store, tiny):
    folder, facts = tiny
    return make_base_version("tiny", manifest=make_manifest(files(folder)), **facts)


@pytest.fixture(scope="session")
def deeper(tmp_path_factory):
    """A base that has a layer more: `tiny`'s adapters don't load there."""
    folder = tmp_path_factory.mktemp("deeper")
    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, eos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder, facts_of(folder)


@pytest.fixture
def train(world, run):
    def made(rows, *, steps, gate=(), checks=None, **recipe):
        request = training.Request(
            adapter=make_adapter(world.health),
            dataset=dataset(world.health, rows),
            recipe={**RECIPE, "steps": steps, "validate_every": steps, **recipe},
            gate=gate,
            suite=checks,
            promote_to="production",
        )
        job = run(training.submit(by=SYSTEM, request=request))
        assert job.error is None
        job.training.refresh_from_db()
        return job

    return made


def test_a_retrain_that_is_worse_on_the_test_split_is_refused_whatever_validation_says(base, train):
    """The second dataset's validation rows are like what it trains on, and unlike what clients ask."""
    first = train(says("aaaa", test="aaaa"), steps=3)
    second = train(says("zzzz", test="aaaa"), steps=24, gate=[NOT_WORSE])
    was, now = (job.result["training"] for job in (first, second))
    assert now["validation_loss"] < was["validation_loss"]
    assert now["test_loss"] > was["test_loss"]
    assert second.training.gate_result["passed"] is False
    assert Alias.objects.get(name="production").version.job_id == first.pk


def test_a_retrain_that_is_better_is_promoted(base, train):
    train(says("aaaa", test="aaaa"), steps=3)
    second = train(says("aaaa", test="aaaa"), steps=24, gate=[NOT_WORSE])
    assert second.training.gate_result["passed"] is True
    assert Alias.objects.get(name="production").version.job_id == second.pk


def test_it_judges_by_the_checks_of_its_suite(base, train):
    asked = suite([{"name": "right", "kind": "exact"}], max_tokens=8)
    rule = {"metric": "checks.right", "op": ">=", "value": 0.9}
    job = train(says("aaaa", test="aaaa"), steps=24, gate=[rule], checks=asked)
    (answered,) = job.training.gate_result["rules"]
    assert (answered["left"], answered["passed"]) == (1.0, True)
    bare = Evaluation.objects.get(job=job, adapter_version=None)
    assert (bare.checks, bare.checked_rows) == ({"right": 0.0}, 3)


def test_production_that_can_not_load_here_is_measured_on_its_own_base(base, train, deeper):
    first = train(says("aaaa", test="aaaa"), steps=24)
    folder, facts = deeper
    target = make_base_version("tiny", manifest=make_manifest(files(folder)), change="shape", **facts)
    job = train(says("aaaa", test="aaaa"), steps=2, gate=[NOT_WORSE])
    old = Evaluation.objects.get(job=job, adapter_version__job=first)
    assert (old.on_base, old.loss) == (base, pytest.approx(first.result["training"]["test_loss"]))
    assert Evaluation.objects.get(job=job, adapter_version=None).on_base == target
    (answered,) = job.training.gate_result["rules"]
    assert (answered["right"], answered["passed"]) == (old.loss, False)
