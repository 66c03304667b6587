"""An adapter learns the form of a vertical of the example, and the base update asks for a retraining."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.make_base import FOLDER as BASE
from examples.make_datasets import line, rows

BATCH, STEPS, HELD_OUT = 8, 25, 40


def lora() -> LoraConfig:
    return LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")


@dataclass
class Learnt:
    """Held-out losses of the bare base, its own adapter, and each adapter on v2."""

    bare: float
    adapted: float
    elsewhere: float
    old_on_v2: float
    new_on_v2: float


def batch(questions: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Token ids, mask and labels of the answers, each (rows, longest)."""
    tokenizer = AutoTokenizer.from_pretrained(BASE / "v1")
    chats = [json.loads(line(row))["messages"] for row in questions]
    options = {"return_dict": True, "return_assistant_tokens_mask": True, "return_tensors": "pt", "padding": True}
    told = tokenizer.apply_chat_template(chats, **options)
    labels = told["input_ids"].masked_fill(torch.as_tensor(told["assistant_masks"]) == 0, -100)
    return {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"], "labels": labels}


@torch.no_grad()
def loss(model: Any, vertical: str) -> float:
    return float(model(**batch(rows(vertical)[-HELD_OUT:])).loss)


def base(version: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(BASE / version)


def trained(version: str, vertical: str) -> PeftModel:
    torch.manual_seed(0)
    model = get_peft_model(base(version), lora())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(STEPS):
        model(**batch(rows(vertical)[step * BATCH : (step + 1) * BATCH])).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    old, new = trained("v1", "retail"), trained("v2", "retail")
    moved = get_peft_model(base("v2"), lora())
    set_peft_model_state_dict(moved, get_peft_model_state_dict(old))
    return Learnt(
        bare=loss(base("v1"), "retail"),
        adapted=loss(old, "retail"),
        elsewhere=loss(old, "finance"),
        old_on_v2=loss(moved, "retail"),
        new_on_v2=loss(new, "retail"),
    )


def test_it_teaches_an_adapter_the_form_of_a_vertical(learnt: Learnt) -> None:
    assert learnt.adapted < 0.6 * learnt.bare


def test_it_leaves_an_adapter_bad_at_another_vertical(learnt: Learnt) -> None:
    assert learnt.elsewhere > 2 * learnt.adapted


def test_it_makes_an_old_adapter_worse_than_a_retrained_one_on_the_update(learnt: Learnt) -> None:
    assert learnt.new_on_v2 < 0.8 * learnt.old_on_v2
