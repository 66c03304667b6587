"""The laws on a real pretrained base, where the shared data is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from serving.engine.adapters import Adapters
from serving.engine.base import load
from serving.engine.slots import Slots
from tests.serving.engine.make import ALL, off

BASE = Path(os.environ.get("PLETHORA_SHARED_DATA", "../shared/data")) / "base-models" / "stories260k-v1"
needs_data = pytest.mark.skipif(not BASE.is_dir(), reason=f"SKIPPED LOUDLY: no shared data at {BASE}")


@needs_data
def test_it_gives_pefts_logits_on_a_real_base(tmp_path: Path) -> None:
    torch.manual_seed(1)
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(BASE), LoraConfig(r=8, target_modules=ALL))
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05)
    peft.save_pretrained(tmp_path)
    oracle = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), tmp_path).eval()
    base = load("stories@1", str(BASE), rows=1, max_rank=8, device="cpu", dtype="float32")
    prompt = base.tokenizer("Once upon a time there was a little")["input_ids"]
    adapters = Adapters(base.stacks, base.shapes, rows=1, max_rank=8, host_bytes=1 << 30)
    adapters.load("x", str(tmp_path))
    assert adapters.hold(adapters.claim("x"))
    next(iter(base.stacks.values())).active.select(torch.tensor([1, 0]))
    logits = Slots(base.model, slots=2, context=base.context).advance(0, [prompt, prompt])
    with torch.no_grad():
        assert off(logits[:1], oracle(torch.tensor([prompt])).logits[:, -1]) < 1e-5
        with oracle.disable_adapter():
            assert off(logits[1:], oracle(torch.tensor([prompt])).logits[:, -1]) < 1e-5
