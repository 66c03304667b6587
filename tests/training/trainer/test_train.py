"""The loop: it learns, resumes to the bit, keeps the best, stops when told, and stores what PEFT loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.training.trainer.conftest import Recorder, chat
from training.trainer.base import Base, next_token
from training.trainer.evaluate import evaluate, probe, subject_on, tokens
from training.trainer.events import Failure
from training.trainer.merging import merge
from training.trainer.train import train

Specs = Callable[..., Any]


def weights(folder: str) -> bytes:
    return (Path(folder) / "adapter_model.safetensors").read_bytes()


def losses(channel: Recorder) -> list[float]:
    return [one["loss"] for one in channel.of("step")]


def test_it_lowers_the_loss(train_spec: Specs) -> None:
    channel = Recorder()
    train(train_spec(steps=40, learning_rate=0.02, validate_every=40), channel)
    assert losses(channel)[-1] < 0.7 * losses(channel)[0]


def test_it_gives_the_same_bytes_for_the_same_seed(train_spec: Specs) -> None:
    first, second, other = train_spec(), train_spec(), train_spec(seed=2)
    stored = []
    for spec in (first, second, other):
        train(spec, Recorder())
        stored.append(weights(spec["out"]))
    assert stored[0] == stored[1] != stored[2]


@pytest.mark.parametrize("train_on", ["train", "all"])
def test_the_test_split_changes_nothing_that_training_makes(
    train_spec: Specs, write_rows: Any, train_on: str
) -> None:
    """Neither what is learnt, nor which step is best, nor where a run stops early."""
    fields = {"train_on": train_on, "keep_best": train_on == "train", "steps": 12, "validate_every": 2}
    seen = []
    for answer in ("it is 3", "never seen"):
        rows = [chat(f"what is {i}", f"it is {i}") for i in range(15)]
        held = [{**chat(f"what of {i}", answer * (1 + len(seen))), "split": "test"} for i in range(6)]
        spec = train_spec(spec={"rows": write_rows([*rows, *held])}, early_stopping_patience=2, **fields)
        shutil.rmtree(spec["checkpoints"], ignore_errors=True)
        channel = Recorder()
        done = train(spec, channel)
        seen.append((weights(spec["out"]), losses(channel), done["validation_loss"], done["ended"], done["steps"]))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("killed_at", range(1, 6))
def test_it_ends_with_the_same_bytes_when_killed_and_resumed(train_spec: Specs, killed_at: int) -> None:
    fields: dict[str, Any] = {"checkpoint_seconds": 0, "dropout": 0.2, "accumulation": 2, "steps": 6}
    spec = train_spec(**fields)
    whole, dead, resumed = Recorder(), Recorder(stop_after=killed_at), Recorder()
    train(spec, whole)
    expected = weights(spec["out"])
    shutil.rmtree(spec["checkpoints"])
    with pytest.raises(KeyboardInterrupt):
        train(spec, dead)
    last = dead.of("checkpoint")[-1]
    train({**spec, "resume": last["path"]}, resumed)
    assert losses(dead)[: last["step"]] + losses(resumed) == losses(whole)
    assert weights(spec["out"]) == expected


def test_it_refuses_the_checkpoint_of_another_recipe(train_spec: Specs) -> None:
    channel = Recorder()
    train(train_spec(checkpoint_seconds=0), channel)
    spec = train_spec(
        checkpoint_seconds=0, learning_rate=0.01, spec={"resume": channel.of("checkpoint")[-1]["path"]}
    )
    with pytest.raises(Failure) as caught:
        train(spec, Recorder())
    assert (caught.value.code, caught.value.kind) == ("checkpoint_mismatch", "user")


def test_it_takes_accumulated_batches_as_one_large_batch(train_spec: Specs) -> None:
    large, small = Recorder(), Recorder()
    train(train_spec(batch_size=8, steps=3), large)
    train(train_spec(batch_size=4, accumulation=2, steps=3), small)
    assert losses(small) == pytest.approx(losses(large), rel=1e-5)


def test_it_trains_alike_packed_and_padded(train_spec: Specs) -> None:
    packed, padded = Recorder(), Recorder()
    train(train_spec(packing=True), packed)
    train(train_spec(packing=False), padded)
    assert losses(packed) == pytest.approx(losses(padded), rel=1e-4)


def test_it_trains_alike_with_gradient_checkpointing(train_spec: Specs) -> None:
    plain, frugal = Recorder(), Recorder()
    train(train_spec(dropout=0.1), plain)
    train(train_spec(dropout=0.1, gradient_checkpointing=True), frugal)
    assert losses(frugal) == pytest.approx(losses(plain), rel=1e-5)


def test_it_trains_on_a_four_bit_base(train_spec: Specs) -> None:
    channel = Recorder()
    done = train(train_spec(method="qlora", steps=20, learning_rate=0.02), channel)
    assert done["method"] == "qlora"
    assert losses(channel)[-1] < losses(channel)[0]


def test_it_keeps_the_best_weights_by_validation_loss(train_spec: Specs) -> None:
    channel = Recorder()
    done = train(train_spec(steps=30, learning_rate=0.5, schedule="constant", validate_every=3), channel)
    seen = {one["step"]: one["loss"] for one in channel.of("evaluated")}
    assert done["validation_loss"] == min(seen.values()) == seen[done["best_step"]]


def test_it_stops_early_after_its_patience(train_spec: Specs) -> None:
    fields = {"steps": 60, "learning_rate": 1.0, "schedule": "constant", "validate_every": 1}
    done = train(train_spec(early_stopping_patience=2, **fields), Recorder())
    assert done["ended"] == "early_stopping"
    assert done["steps"] == done["best_step"] + 2 < 60


def test_it_never_trains_on_the_test_split(train_spec: Specs, write_rows: Any) -> None:
    rows = [{"split": ("train", "validation", "test")[i % 3], **chat(f"{i}", f"{i}")} for i in range(9)]
    channel = Recorder()
    train(train_spec(train_on="all", keep_best=False, spec={"rows": write_rows(rows, "three.jsonl")}), channel)
    assert (channel.of("started")[0]["rows"], channel.of("started")[0]["validation_rows"]) == (6, 0)


def test_it_gives_up_when_the_loss_is_no_number(train_spec: Specs, tmp_path: Path) -> None:
    first = train_spec()
    train(first, Recorder())
    path = Path(first["out"]) / "adapter_model.safetensors"
    save_file({name: one * float("inf") for name, one in load_file(path).items()}, path)
    channel = Recorder()
    with pytest.raises(Failure) as caught:
        train(train_spec(spec={"warm_start": first["out"], "out": str(tmp_path / "b")}), channel)
    assert (caught.value.code, caught.value.param) == ("diverged", "recipe.learning_rate")
    assert len([one for one in channel.of("warning") if one["code"] == "not_finite"]) == 3


def test_it_begins_where_a_warm_start_ended(train_spec: Specs, tmp_path: Path) -> None:
    first = train_spec(steps=40, learning_rate=0.02)
    done, channel = train(first, Recorder()), Recorder()
    train(train_spec(spec={"warm_start": first["out"], "out": str(tmp_path / "second")}), channel)
    assert losses(channel)[0] < 1.5 * done["train_loss"]


def test_it_refuses_a_warm_start_of_another_rank(train_spec: Specs, tmp_path: Path) -> None:
    first = train_spec()
    train(first, Recorder())
    with pytest.raises(Failure) as caught:
        train(train_spec(rank=4, spec={"warm_start": first["out"], "out": str(tmp_path / "b")}), Recorder())
    assert (caught.value.kind, caught.value.param) == ("user", "recipe.warm_start")


def test_it_stores_what_peft_loads_and_answers_alike(train_spec: Specs, base: Base, base_dir: Path) -> None:
    spec = train_spec(steps=20, learning_rate=0.02)
    done = train(spec, Recorder())
    prompt = done["probe"]["prompt"]
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_dir), spec["out"])
    with torch.no_grad():
        logits = theirs(torch.tensor([prompt])).logits[0, -1]
    with subject_on(base, spec["out"], name="it"):
        assert torch.allclose(next_token(base, prompt), logits.log_softmax(-1), atol=1e-5)


def test_it_probes_a_stored_adapter_as_training_did(train_spec: Specs, base_dir: Path) -> None:
    spec = train_spec(steps=20, learning_rate=0.02)
    done = train(spec, Recorder())
    again = probe({"base": str(base_dir), "adapter": spec["out"]}, Recorder())
    assert again["probe"] == done["probe"]
    assert done["probe"]["logprobs"]["adapter"] != done["probe"]["logprobs"]["base"]


def test_it_evaluates_every_pair_and_leaves_the_base_as_it_was(train_spec: Specs, base_dir: Path) -> None:
    spec = train_spec(steps=40, learning_rate=0.02)
    train(spec, Recorder())
    channel = Recorder()
    subjects = [
        {"name": name, "adapter": folder} for name, folder in (("a", None), ("b", spec["out"]), ("c", None))
    ]
    datasets = [{"name": "d", "rows": spec["rows"], "split": split} for split in ("train", "validation")]
    evaluate({"base": str(base_dir), "subjects": subjects, "datasets": datasets}, channel)
    found = {(one["subject"], one["split"]): one["loss"] for one in channel.of("evaluated")}
    assert len(found) == 6
    assert found["a", "train"] == found["c", "train"] > found["b", "train"]


def test_it_refuses_an_adapter_that_does_not_fit_the_base(train_spec: Specs, base_dir: Path) -> None:
    spec = train_spec()
    train(spec, Recorder())
    path = Path(spec["out"]) / "adapter_model.safetensors"
    save_file(
        {name: torch.cat([one, one], 1 if "lora_A" in name else 0) for name, one in load_file(path).items()}, path
    )
    with pytest.raises(Failure) as caught:
        probe({"base": str(base_dir), "adapter": spec["out"]}, Recorder())
    assert (caught.value.code, caught.value.kind) == ("bad_adapter", "data")


def test_it_merges_into_a_model_that_answers_like_the_pair(train_spec: Specs, base: Base, tmp_path: Path) -> None:
    spec = train_spec(steps=20, learning_rate=0.02)
    done = train(spec, Recorder())
    merge({"base": spec["base"], "adapter": spec["out"], "out": str(tmp_path / "merged")}, Recorder())
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    with torch.no_grad(), subject_on(base, spec["out"], name="it"):
        told = merged(torch.tensor([done["probe"]["prompt"]])).logits[0, -1].log_softmax(-1)
        assert torch.allclose(told, next_token(base, done["probe"]["prompt"]), atol=1e-4)


def test_it_counts_tokens_by_split(train_spec: Specs) -> None:
    counted = tokens({"base": train_spec()["base"], "rows": train_spec()["rows"]}, Recorder())
    assert counted["tokens"] == sum(counted["by_split"].values()) > 0
    assert json.dumps(counted)
