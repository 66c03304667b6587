"""PEFT as the peer: its layers on every linear module of a model, and the loss of transformers."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from torch import Tensor, nn

from lora.inject import linear_names


def wrapped(model: Any, *, rank: int, alpha: float, **settings: Any) -> Any:
    names = sorted({name.rpartition(".")[2] for name in linear_names(model)})
    config = PeftConfig(r=rank, lora_alpha=int(alpha), target_modules=names, lora_dropout=0.0)
    return get_peft_model(model, config, **settings)


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [one for one in model.parameters() if one.requires_grad]


def loss_of(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over labelled tokens; inputs and targets are (rows, width), a target at the place that says it."""
    loss: Tensor = model(input_ids=inputs, shift_labels=targets, labels=targets, use_cache=False).loss
    return loss
