"""The loss that a version is judged by is the loss that PEFT and transformers would tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.trainer.conftest import Recorder
from training.trainer.data import read_rows
from training.trainer.evaluate import evaluate
from training.trainer.train import train


@torch.no_grad()
def loss_in_peft(base: Path, adapter: str, rows: str, split: str) -> float:
    """The mean over all answers' tokens, a row at a time, labelled by the template's own marks."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    options = {"return_dict": True, "return_assistant_tokens_mask": True, "return_tensors": "pt"}
    total, count = 0.0, 0
    for row in [one for one in read_rows(rows) if one.split == split]:
        told = tokenizer.apply_chat_template(row.body["messages"], **options)
        said = torch.as_tensor(told["assistant_masks"]).reshape(1, -1)
        labels = told["input_ids"].masked_fill(said == 0, -100)
        answer = int(said[:, 1:].sum())
        total += answer * float(model(input_ids=told["input_ids"], labels=labels).loss)
        count += answer
    return total / count


def test_it_measures_the_loss_that_peft_gives(train_spec: Callable[..., Any], base_dir: Path) -> None:
    spec, channel = train_spec(steps=20, learning_rate=0.02), Recorder()
    train(spec, Recorder())
    dataset = {"name": "d", "rows": spec["rows"], "split": "validation"}
    subjects = [{"name": "it", "adapter": spec["out"]}]
    evaluate({"base": str(base_dir), "subjects": subjects, "datasets": [dataset]}, channel)
    theirs = loss_in_peft(base_dir, spec["out"], spec["rows"], "validation")
    assert channel.of("evaluated")[0]["loss"] == pytest.approx(theirs, abs=1e-4)
