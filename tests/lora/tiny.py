"""Tiny real models, and the real one where the shared data lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from lora.inject import LoraConfig, inject, linear_names
from lora.layers import LoRALinear

torch.set_num_threads(1)
SHARED = Path(os.environ.get("PLETHORA_SHARED_DATA", Path(__file__).parents[3] / "shared/data"))
STORIES = SHARED / "base-models/stories260k-v1"
IDS = torch.tensor([[1, 5, 9, 33, 2, 7, 60], [3, 3, 8, 41, 6, 50, 12], [9, 2, 63, 1, 30, 22, 4]])


def make_llama(**changed: Any) -> LlamaForCausalLM:
    """A Llama of 20,000 random parameters, the same each time."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **{**shape, "num_key_value_heads": 2, "vocab_size": 64, "initializer_range": 0.2, **changed}
    )
    return LlamaForCausalLM(config).eval()


def make_stories() -> Any:
    """The pretrained model of 260,032 parameters."""
    return AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()


def adapt(model: nn.Module, config: LoraConfig | None = None, *, seed: int = 1) -> dict[str, LoRALinear]:
    """Inject into every linear and give B values, so that the update is felt."""
    layers = inject(model, linear_names(model), config or LoraConfig(4, 8.0), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers.values():
        nn.init.normal_(layer.lora_b, std=0.1, generator=generator)
    return layers


@torch.no_grad()
def logits(model: Any, ids: Tensor = IDS) -> Tensor:
    return model(input_ids=ids).logits


def distance(left: Tensor, right: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((left - right).abs().max() / right.abs().max())
