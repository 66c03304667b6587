"""Put LoRA layers into a model, and take them out again.

Module names are full paths as in `model.named_modules()`: `model.layers.0.self_attn.q_proj`. Ranks and alphas
may differ by module, in PEFT's words: `rank_pattern` and `alpha_pattern` map a regular expression for the end of a
path to a value; the first that matches wins.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from lora.layers import LoRALinear

T = TypeVar("T")


@dataclass(frozen=True)
class LoraConfig:
    """What adapter_config.json calls r, lora_alpha, use_rslora, lora_dropout, and the two patterns."""

    rank: int
    alpha: float
    rslora: bool = False
    dropout: float = 0.0
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def rank_of(self, module: str) -> int:
        """The rank of the module with this path."""
        return _by_pattern(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """s = alpha / r, or alpha / sqrt(r) for rsLoRA."""
        rank, alpha = self.rank_of(module), _by_pattern(self.alpha_pattern, module, self.alpha)
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank


def linear_names(model: nn.Module) -> list[str]:
    """The paths of every nn.Linear but the output head, in the model's order; injecting doesn't change them."""
    heads = _heads(model)
    found: list[str] = []
    for name, module in model.named_modules():
        if isinstance(_unwrapped(module), nn.Linear) and name not in heads:
            is_wrapped = name.endswith(".base") and name.removesuffix(".base") in found
            found.extend([] if is_wrapped else [name])
    return found


def freeze(model: nn.Module) -> None:
    """No parameter of the model asks for a gradient any more."""
    model.requires_grad_(False)


def inject(model: nn.Module, names: Sequence[str], config: LoraConfig, *, seed: int) -> dict[str, LoRALinear]:
    """Freeze `model` and wrap its linears `names`, in place; the layers by path, in the model's order.

    1. check every name, so that a refusal leaves the model as it was;  2. freeze the whole model;
    3. wrap; A is Kaiming-uniform from a seed of its own for each path, B zero: no answer changes yet.

    The same seed gives the same A for a path, whatever other names are given, on every device.
    Raises LookupError for an unknown name; TypeError for one that is no nn.Linear; ValueError for the output
    head, for one wrapped before, for none at all.
    """
    linears = checked_linears(model, names)
    freeze(model)
    layers: dict[str, LoRALinear] = {}
    for name, linear in linears.items():
        layer = LoRALinear(linear, config.rank_of(name), config.scale_of(name), config.dropout)
        layer.lora_a.data.copy_(initial_a(name, layer.lora_a.shape, seed=seed))
        layers[name] = layer.train(linear.training)
        model.set_submodule(name, layer)
    return layers


def eject(model: nn.Module) -> None:
    """Put each LoRA layer's base back, in place; it stays frozen. A merged layer leaves its merged weight."""
    for name, module in list(model.named_modules()):
        if isinstance(module, LoRALinear):
            model.set_submodule(name, module.base)


def initial_a(name: str, shape: Sequence[int], *, seed: int) -> Tensor:
    """The first A (r, in) of the module `name`: uniform in ±1/sqrt(in), as PEFT's (Kaiming with a = sqrt(5))."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    a = torch.empty(*shape, dtype=torch.float32)
    return nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)


def checked_linears(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Linear]:
    """The linears `names` by path, in the model's order. Raises as `inject`."""
    if not names:
        raise ValueError("no module to adapt was named")
    modules = dict(model.named_modules())
    if unknown := [name for name in names if name not in modules]:
        raise LookupError(f"the model has no module {', '.join(unknown)}")
    heads = _heads(model)
    for name in names:
        module = modules[name]
        if name in heads:
            raise ValueError(f"{name} is the output head, which is never adapted (vLLM refuses such adapters)")
        if module is not _unwrapped(module):
            raise ValueError(f"{name} is wrapped already: eject the model first")
        if not isinstance(module, nn.Linear):
            raise TypeError(f"{name} is a {type(module).__name__}, not an nn.Linear")
    wanted = set(names)
    return {name: m for name, m in modules.items() if name in wanted and isinstance(m, nn.Linear)}


def _heads(model: nn.Module) -> set[str]:
    """The paths of the output head: what transformers says, and anything called lm_head."""
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter else None
    return {
        name
        for name, m in model.named_modules()
        if name.rpartition(".")[2] == "lm_head" or (head is not None and m is head)
    }


def _unwrapped(module: nn.Module) -> object:
    """The linear inside a layer of ours (LoRALinear, StackedLinear), or the module itself."""
    base = getattr(module, "base", None)
    return base if isinstance(base, nn.Linear) else module


def _by_pattern(patterns: Mapping[str, T], module: str, default: T) -> T:
    """PEFT's rule: the first pattern that matches the whole path or its end after a dot."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)
